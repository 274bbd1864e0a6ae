"""How a revision may be named, and what is said of other names."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cartsnitch_common.cli import run as run_command
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.errors import InvalidFieldError

NONE = [
    "",
    " ",
    "@",
    "nonsense",
    "current",
    "heads",
    "head@",
    "head+1",
    "head-1",
    "+1",
    "+99",
    "-",
    "0005+1",
    "0005:0007",
    "0005_normalized_products ",
    "00",
    "0001_stores\n",
    "0001\x00",
    "0" * 10_000,
    "0001_störes",
]
NOWHERE = Settings.load(database_url="postgresql://ada:canary@127.0.0.1:1/carts")


@pytest.mark.parametrize("name", [*NONE, "base"], ids=lambda name: repr(name)[:20])
def test_a_name_that_is_no_revision_is_refused_before_the_database_is_asked(name: str) -> None:
    """One line that names what is wrong, and neither repeats it nor blames the setting."""
    with pytest.raises(InvalidFieldError, match=r"^revision: is head, or an id from ") as refused:
        migrate.upgrade(NOWHERE, name)
    assert len(str(refused.value)) < 120
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", [*NONE, "head"], ids=lambda name: repr(name)[:20])
def test_nor_is_it_one_for_a_downgrade(name: str) -> None:
    """Down to `base` in place of `head`."""
    with pytest.raises(InvalidFieldError, match=r"^revision: is base, or an id from "):
        migrate.downgrade(NOWHERE, name)


def test_a_beginning_that_only_one_revision_has_is_enough(empty: Settings) -> None:
    """An operator types the number; where the database is there already, nothing is done."""
    for expected in (5, 0):
        result = migrate.upgrade(empty, "0005")
        assert (result.after, len(result.applied)) == ("0005_normalized_products", expected)
    assert migrate.downgrade(empty, "0002_store").after == "0002_store_locations"


@pytest.mark.parametrize("name", ["", "@", "nonsense", "+1", "base", "0" * 10_000])
def test_the_command_calls_it_bad_input(
    name: str, empty_database: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Exit code 2, one line, and nothing is made."""
    monkeypatch.setenv("CARTSNITCH_DATABASE_URL", empty_database)
    assert run_command(["db", "upgrade", name]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: revision: is head, or an id from 0001_stores to ")
    with psycopg.connect(empty_database) as connection:
        made = connection.execute(
            "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        assert made.fetchone() == (0,)
