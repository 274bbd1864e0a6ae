"""What a database or a role sets by default, and a migration that meets it."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import nullcontext

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db import Database, migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.migrate import MigrationError
from cartsnitch_common.db.revisions import check_schema_sync
from cartsnitch_common.errors import SchemaVersionError, SettingError
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


@pytest.mark.parametrize("path", ["other, public", '"$user", public', "other"])
def test_a_search_path_with_another_schema_in_front_is_refused(
    by_default: Callable[[str], None], empty: Settings, path: str
) -> None:
    """The tables would be made there, and the functions would look for them in public.

    Nothing is made before the error, which says what to do.
    """
    with psycopg.connect(empty.require_database_url(), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {connection.info.user}")
        connection.execute("CREATE SCHEMA other")
        by_default(f"search_path = {path}")
        front = connection.info.user if "user" in path else "other"
        told = f"^CARTSNITCH_DATABASE_URL: the search_path .* begins with {front}: ALTER ROLE"
        with pytest.raises(SettingError, match=told):
            migrate.upgrade(empty)
        with pytest.raises(SettingError, match=told), migrate.exclusive_connection(empty):
            pass
        made = "SELECT count(*) FROM pg_class WHERE relnamespace = 'other'::regnamespace"
        assert connection.execute(made).fetchone() == (0,)
        by_default("search_path = public")
        assert migrate.upgrade(empty).applied


def test_a_schema_is_compared_whatever_is_in_front(
    by_default: Callable[[str], None], empty: Settings
) -> None:
    """Where a login has a schema of its own, whoever only reads sees no drift of it."""
    migrate.upgrade(empty)
    with psycopg.connect(empty.require_database_url(), autocommit=True) as connection:
        connection.execute("CREATE SCHEMA other")
    by_default("search_path = other, public")
    assert migrate.check(empty).is_at_head
    assert migrate.require_schema(empty).is_at_head
    assert find_drift(empty) == ()


def test_a_schema_that_does_not_exist_is_in_front_of_nothing(
    by_default: Callable[[str], None], empty: Settings
) -> None:
    """Such as the login's own in PostgreSQL's default."""
    by_default("search_path = nowhere, public, other")
    assert migrate.upgrade(empty).applied


async def test_a_service_is_told_of_a_search_path_that_leads_past_its_tables(
    database: str,
) -> None:
    """At its start: a schema of its own may come first, but hold no table of the same name.

    A login that may not use the schema does not see it in its path.
    """
    settings = Settings.load(database_url=database)
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute("CREATE SCHEMA other")
        for path, table in (("other, public", None), ("other", "alembic_version_cartsnitch")):
            connection.execute(f"ALTER DATABASE {name} SET search_path = {path}")
            await starts(settings, past=table)
        connection.execute(f"ALTER DATABASE {name} SET search_path = other, public")
        connection.execute("CREATE TABLE other.stores (id int)")
        await starts(settings, past="stores")
        connection.execute("DROP TABLE other.stores")
        connection.execute("DROP ROLE IF EXISTS shut_out")
        connection.execute("CREATE ROLE shut_out LOGIN PASSWORD 'canary'")
        connection.execute("REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    url = re.sub(r"//[^@]*@", "//shut_out:canary@", database)
    await starts(Settings.load(database_url=url), past="alembic_version_cartsnitch")


async def starts(settings: Settings, *, past: str | None) -> None:
    told = f"^CARTSNITCH_DATABASE_URL: the search_path leads past the table {past} of the"
    refused = pytest.raises(SchemaVersionError, match=told)
    async with Database(settings) as served:
        with nullcontext() if past is None else refused:
            await served.check()
        with nullcontext() if past is None else refused:
            check_schema_sync(served.sync_engine)
