"""The settings of the server and of channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.errors import SettingError
from cartsnitch_common.rpc.channel import service_config

TOKEN = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("fields", "variable"),
    [
        ({"rpc_token": TOKEN[:-1]}, "RPC_TOKEN"),
        ({"rpc_token": f"{TOKEN},"}, "RPC_TOKEN"),
        ({"rpc_token": f"{TOKEN},,{TOKEN}"}, "RPC_TOKEN"),
        ({"rpc_token": TOKEN + "\n" + TOKEN}, "RPC_TOKEN"),
        ({"rpc_token": TOKEN + "é"}, "RPC_TOKEN"),
        ({"rpc_port": 65536}, "RPC_PORT"),
        ({"rpc_max_deadline": 0}, "RPC_MAX_DEADLINE"),
        ({"rpc_tls_key": Path("key.pem")}, "RPC_TLS_CERTIFICATE"),
        ({"rpc_tls_certificate": Path("chain.pem")}, "RPC_TLS_KEY"),
    ],
)
def test_a_bad_setting_is_named_and_not_shown(fields: dict[str, Any], variable: str) -> None:
    """The error names the variable; a token is in no message."""
    with pytest.raises(SettingError) as caught:
        Settings.load(**fields)
    assert caught.value.setting == f"CARTSNITCH_{variable}"
    assert TOKEN[:-1] not in str(caught.value)


def test_tokens_are_separated_by_commas() -> None:
    """The first is sent, each is taken, and none is shown."""
    settings = Settings.load(rpc_token=f"{TOKEN}, {TOKEN[::-1]} ")
    assert settings.require_rpc_tokens() == (TOKEN, TOKEN[::-1])
    assert TOKEN not in repr(settings)


def test_a_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CARTSNITCH_RPC_TOKEN is read when it is asked for; an empty one is none."""
    monkeypatch.setenv("CARTSNITCH_RPC_TOKEN", TOKEN)
    assert Settings.load().require_rpc_tokens() == (TOKEN,)
    monkeypatch.setenv("CARTSNITCH_RPC_TOKEN", "")
    with pytest.raises(SettingError, match="is not set"):
        Settings.load().require_rpc_tokens()


def test_only_what_may_be_repeated_is_repeated() -> None:
    """The policy names each method of the contract that states its idempotency, and one code."""
    (method_config,) = service_config()["methodConfig"]
    named = {(one["service"], one["method"]) for one in method_config["name"]}
    assert ("cartsnitch.purchase.v1.PurchaseService", "RecordPurchase") in named
    assert {service.split(".")[1] for service, _ in named} == {
        "account",
        "catalog",
        "coupon",
        "pricing",
        "purchase",
        "shrinkflation",
    }
    assert method_config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
