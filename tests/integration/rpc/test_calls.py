# ruff: noqa: ARG001 - a method takes what gRPC gives it
"""What happens around a call: repeating, logs."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import grpc
import pytest

from cartsnitch.account.v1 import (
    AccountServiceStub,
    GetUserStoreAccountResponse,
    ListUserStoreAccountsRequest,
)
from cartsnitch_common import rpc
from cartsnitch_common.config import Settings
from cartsnitch_common.errors import CallError, DatabaseUnavailableError
from cartsnitch_common.rpc import call_errors, create_channel, current_request_id
from cartsnitch_common.rpc.request_id import METADATA_KEY
from tests.integration.rpc.accounts import ASK, Accounts
from tests.integration.rpc.conftest import TOKEN, Served, receipt_request, serving
from tests.rows import Rows

# -- repeating ----------------------------------------------------------------


async def test_a_call_is_repeated_where_the_service_was_unavailable(
    detached: Settings,
) -> None:
    """Two failures that a third attempt survives are not seen by the caller."""

    async def fail_twice(request: Any, context: Any) -> Any:
        if accounts.calls < 3:
            raise DatabaseUnavailableError
        return GetUserStoreAccountResponse()

    accounts = Accounts(fail_twice)
    async with serving(detached, accounts.added) as served:
        stub: Any = AccountServiceStub(served.channel)
        with call_errors():
            await stub.GetUserStoreAccount(ASK)
    assert accounts.calls == 3


async def test_nothing_else_is_repeated(detached: Settings) -> None:
    """A defect, or a refusal, is met once."""

    async def fail(request: Any, context: Any) -> Any:
        raise RuntimeError

    accounts = Accounts(fail)
    async with serving(detached, accounts.added) as served:
        stub: Any = AccountServiceStub(served.channel)
        with pytest.raises(rpc.InternalError), call_errors():
            await stub.GetUserStoreAccount(ASK)
    assert accounts.calls == 1


async def test_repeating_ends_at_the_deadline(detached: Settings) -> None:
    """A service that nobody can reach is an error in time, also between two attempts."""
    async with create_channel(detached, "localhost:1", deadline=0.35) as channel:
        stub: Any = AccountServiceStub(channel)

        async def ask(deadline: float) -> float:
            start = time.monotonic()
            with pytest.raises(CallError) as caught, call_errors():
                await stub.GetUserStoreAccount(ASK, timeout=deadline)
            assert isinstance(caught.value, rpc.DeadlineError | rpc.ServiceUnavailableError)
            return time.monotonic() - start - deadline

        over = await asyncio.gather(*(ask(0.05 + step / 50) for step in range(40)))
    assert max(over) < 2


# -- logs ---------------------------------------------------------------------


async def test_each_call_is_one_line_without_what_was_sent(
    served: Served, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names method, code, duration, peer and request id, and no payload."""
    caplog.set_level(logging.DEBUG, "cartsnitch_common")
    canary = "canary-of-ada"
    rows.the("stores")
    rows.add("users", id=canary, email="a@b.example")
    await served.purchases.RecordPurchase(receipt_request(canary, "receipt-canary"))
    with pytest.raises(grpc.aio.AioRpcError):
        await served.purchases.RecordPurchase(receipt_request(canary + "x" * 70, "receipt-canary"))
    good: Any
    bad: Any
    good, bad = [record for record in caplog.records if hasattr(record, "rpc_code")]
    assert good.rpc_method == "/cartsnitch.purchase.v1.PurchaseService/RecordPurchase"
    assert (good.rpc_code, good.rpc_reason) == ("OK", "")
    assert (bad.rpc_code, bad.rpc_reason) == ("INVALID_ARGUMENT", "invalid_field")
    assert good.rpc_peer in {"127.0.0.1", "[::1]"}
    assert good.rpc_duration_ms > 0
    assert good.rpc_request_id != bad.rpc_request_id
    for word in ("canary", "BANANAS", TOKEN):
        assert word not in caplog.text
        assert not any(word in str(vars(record)) for record in caplog.records)


async def test_a_request_keeps_its_id(detached: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """An id that came with a call goes on with the calls that are made for it."""
    caplog.set_level(logging.INFO, "cartsnitch_common.rpc")
    seen = []

    async def call_on(request: Any, context: Any) -> Any:
        seen.append(current_request_id())
        if len(seen) == 1:
            await stub.ListUserStoreAccounts(ListUserStoreAccountsRequest(user_id="u"))
        return GetUserStoreAccountResponse()

    async with serving(detached, Accounts(call_on).added) as served:
        stub: Any = AccountServiceStub(served.channel)
        await stub.GetUserStoreAccount(ASK, metadata=[(METADATA_KEY, "from-the-gateway.1")])
        await stub.GetUserStoreAccount(ASK, metadata=[(METADATA_KEY, "two words")])
    assert seen[:2] == ["from-the-gateway.1"] * 2
    assert seen[2] not in {"two words", None}
    assert "two words" not in caplog.text
    assert current_request_id() is None
