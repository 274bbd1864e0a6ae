"""What a database or a role sets by default, and a migration that meets it."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.migrate import MigrationError
from tests.catalog import catalog
from tests.migration.conftest import History

LEVELS = ["serializable", "repeatable read"]


@pytest.fixture
def by_default(empty_database: str) -> Callable[[str], None]:
    """Sets for the empty database what holds where nothing else is said."""

    def alter(setting: str) -> None:
        with psycopg.connect(empty_database, autocommit=True) as connection:
            connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {setting}")

    return alter


@pytest.mark.parametrize("level", LEVELS)
def test_a_higher_isolation_level_stops_no_upgrade(
    by_default: Callable[[str], None],
    history: History,
    empty_database: str,
    database: str,
    level: str,
) -> None:
    """The lock's transaction keeps no snapshot, for which a concurrent index would wait."""
    by_default(f"default_transaction_isolation = '{level}'")
    runner = history.start(empty_database)
    try:
        runner.wait_until_ready()
        runner.go()
        after, _ = runner.answer()
    finally:
        runner.kill()
    assert (after,) == migrate.heads()
    assert catalog(empty_database) == catalog(database)


@pytest.mark.parametrize("level", LEVELS)
def test_steps_outside_a_transaction_are_read_committed(
    by_default: Callable[[str], None], history: History, empty: Settings, level: str
) -> None:
    """A batch of a backfill that meets a writer waits for it; at another level it would fail.

    The sessions are left as they were.
    """
    by_default(f"default_transaction_isolation = '{level}'")
    note = """op.execute("INSERT INTO levels VALUES (current_setting('{}'))")"""
    before, within = (note.format(f"{scope}transaction_isolation") for scope in ("default_", ""))
    history.add(
        "levels",
        'op.execute("CREATE TABLE levels (level text)")\n'
        "    with op.get_context().autocommit_block():\n"
        f"        {within}\n"
        f"    {before}",
    )
    migrate.upgrade(empty)
    with psycopg.connect(empty.require_database_url()) as connection:
        found = connection.execute("SELECT level FROM levels").fetchall()
    assert found == [("read committed",), (level,)]


def test_a_database_that_only_reads_is_one_line(
    by_default: Callable[[str], None], empty: Settings
) -> None:
    """What somebody has closed for maintenance is not opened by an upgrade, and says so."""
    by_default("default_transaction_read_only = on")
    with pytest.raises(MigrationError, match=r"in a read-only transaction \(25006\)$"):
        migrate.upgrade(empty)
