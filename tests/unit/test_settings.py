from __future__ import annotations

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.errors import SettingError

URLS = {
    "database_url": "postgresql://ada:canary@db.example:5433/carts",
    "database_replica_url": "postgres://ada:canary@db.example/carts",
    "redis_url": "rediss://ada:canary@redis.example:6380/0",
}

fields = pytest.mark.parametrize("field", URLS)


@fields
@pytest.mark.parametrize("around", [("", "\n"), (" ", ""), ("\t", " \r\n")])
def test_what_stands_around_a_url_is_no_part_of_it(
    field: str, around: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that is read from a file ends with a line; the database is not called so."""
    before, after = around
    monkeypatch.setenv(f"CARTSNITCH_{field.upper()}", f"{before}{URLS[field]}{after}")
    assert getattr(Settings.load(), f"require_{field}")() == URLS[field]


@fields
@pytest.mark.parametrize("empty", [" ", "\n"])
def test_white_space_alone_is_no_url(field: str, empty: str) -> None:
    """It is told as one that begins wrongly, by the setting's name."""
    with pytest.raises(SettingError, match=f"^CARTSNITCH_{field.upper()}: must start with one of"):
        Settings.load(**{field: empty})
