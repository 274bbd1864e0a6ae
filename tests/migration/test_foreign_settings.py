"""Settings of a database, by which other programs live, change neither the schema nor its words."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import find_drift
from tests.migration.conftest import History

SETTINGS = [
    ("datestyle", "SQL, DMY"),
    ("datestyle", "German"),
    ("quote_all_identifiers", "on"),
    ("standard_conforming_strings", "off"),
    ("intervalstyle", "sql_standard"),
    ("bytea_output", "escape"),
    ("extra_float_digits", "-15"),
    ("timezone", "Asia/Kathmandu"),
    ("xmlbinary", "hex"),
]

COMMENT = "SELECT obj_description('stores'::regclass), obj_description('coupons'::regclass)"
BACKSLASH = r"COMMENT ON TABLE {} IS 'a\\x41'"  # as it stands in a revision's file


def set_for_all(settings: Settings, name: str, value: str) -> None:
    """Set it for every later session of the database."""
    url = settings.require_database_url()
    statement = sql.SQL("ALTER DATABASE {} SET {} = {}").format(
        sql.Identifier(url.rpartition("/")[2]), sql.Identifier(name), value
    )
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement)


@pytest.mark.parametrize(("name", "value"), SETTINGS)
def test_a_setting_is_no_drift(at_head: Settings, name: str, value: str) -> None:
    """However sessions write dates and names, `cartsnitch db check` compares the same words."""
    set_for_all(at_head, name, value)
    assert find_drift(at_head) == ()


def test_backslashes_are_no_escapes(empty: Settings, history: History) -> None:
    """The migrations make the same where they would be, in transactions and outside of them."""
    set_for_all(empty, "standard_conforming_strings", "off")
    migrate.upgrade(empty)
    assert find_drift(empty) == ()
    history.add("inside", f'op.execute("{BACKSLASH.format("stores")}")')
    outside = f'op.execute("{BACKSLASH.format("coupons")}")'
    history.add("outside", f"with op.get_context().autocommit_block():\n        {outside}")
    migrate.upgrade(empty)
    with psycopg.connect(empty.require_database_url()) as connection:
        assert connection.execute(COMMENT).fetchone() == (r"a\x41", r"a\x41")
