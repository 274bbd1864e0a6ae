"""Which versions and databases work together while a release is rolled out or back."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import NullPool

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate, revisions
from cartsnitch_common.db.engine import async_engine, sync_engine
from cartsnitch_common.db.migrate import MigrationError
from cartsnitch_common.db.revisions import (
    VERSION_TABLE,
    check_schema,
    check_schema_sync,
    read_status,
)
from cartsnitch_common.errors import SchemaVersionError
from tests.catalog import catalog
from tests.migration.conftest import History

PROJECT = revisions.scripts_folder()
HEAD = migrate.heads()[0]


def note(settings: Settings) -> Any:
    query = f"SELECT obj_description('{VERSION_TABLE}'::regclass)"
    with psycopg.connect(settings.require_database_url()) as connection:
        found = connection.execute(query).fetchone()
    assert found is not None
    return found[0]


def as_this_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the test has added, as a process of an older version does not know it."""
    monkeypatch.setattr(revisions, "scripts_folder", lambda: PROJECT)


def test_a_newer_database_serves_until_it_drops_something(
    history: History, at_head: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rollback the older version's upgrade and start succeed: nothing was dropped."""
    newer = history.add("expand", "op.add_column('stores', sa.Column('phone', sa.Text()))")
    migrate.upgrade(at_head)
    as_this_version(monkeypatch)
    result = migrate.upgrade(at_head)
    assert (result.before, result.after, result.applied) == (newer, newer, ())
    status = migrate.require_schema(at_head)
    assert (status.is_ahead, status.is_at_head, status.is_compatible) == (True, False, True)
    assert str(status) == (
        f"ahead: this library is older than the database, which is at {newer} and still serves"
        f" it; the head known here is {HEAD}"
    )


def test_a_contract_revision_says_whom_it_still_serves(
    history: History, at_head: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What dropped a column names the oldest head that lives without it; older ones are told."""
    last = history.add("use_no_logo")
    serves_head = history.add("first_contract", more=f'serves = "{HEAD}"\n')
    migrate.upgrade(at_head)
    assert note(at_head) == f"serves {HEAD} and later"
    with monkeypatch.context() as old:
        as_this_version(old)
        assert migrate.upgrade(at_head).after == serves_head
    drops = history.add(
        "second_contract", "op.drop_column('stores', 'logo_url')", more=f'serves = "{last}"\n'
    )
    migrate.upgrade(at_head)
    assert note(at_head) == f"serves {last} and later"
    assert migrate.require_schema(at_head).is_at_head
    with monkeypatch.context() as old:
        as_this_version(old)
        with pytest.raises(MigrationError, match=f"which is at {drops} and no longer serves it"):
            migrate.upgrade(at_head)
        with pytest.raises(SchemaVersionError, match="no longer serves it"):
            migrate.require_schema(at_head)
    migrate.downgrade(at_head, serves_head)
    assert note(at_head) == f"serves {HEAD} and later"
    migrate.downgrade(at_head, last)
    assert note(at_head) is None


def test_a_revision_that_is_not_known_is_no_goal(database: str) -> None:
    """An old program does not try to go anywhere on a newer database but to its head."""
    settings = Settings.load(database_url=database)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999_later'")
    assert migrate.upgrade(settings).after == "9999_later"
    with pytest.raises(MigrationError, match="ahead: this library is older than the database"):
        migrate.upgrade(settings, "0001_stores")
    with pytest.raises(MigrationError, match="ahead: this library is older than the database"):
        migrate.downgrade(settings, "base")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_service_starts_on_a_range(
    driver: str, history: History, at_head: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new version starts before the migration if it can, on both kinds of engines."""

    async def start() -> Any:
        if driver == "asyncpg":
            engine = async_engine(at_head, poolclass=NullPool)
            return await check_schema(engine)
        return check_schema_sync(sync_engine(at_head, poolclass=NullPool))

    assert (await start()).is_at_head
    second = history.add("index_only")
    history.add("another_index")
    monkeypatch.setattr(revisions, "OLDEST_COMPATIBLE", HEAD)
    assert [waiting.title for waiting in (await start()).pending] == ["Try.", "Try."]
    monkeypatch.setattr(revisions, "OLDEST_COMPATIBLE", second)
    behind = "the database is behind by 2 migrations: run `cartsnitch db upgrade`"
    with pytest.raises(SchemaVersionError, match=behind):
        await start()


def test_an_empty_database_has_no_schema(empty: Settings) -> None:
    """A service does not start on it."""
    assert migrate.current(empty) is None
    with pytest.raises(SchemaVersionError, match="run `cartsnitch db upgrade`"):
        migrate.require_schema(empty)


def test_two_revisions_at_once_are_refused(at_head: Settings) -> None:
    """A version table that was tampered with is no riddle for later."""
    with sync_engine(at_head, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES ('0001_stores')")
        with pytest.raises(
            SchemaVersionError, match=f"more than one revision: 0001_stores, {HEAD}"
        ):
            read_status(connection)


def test_the_note_stands_in_a_script_too(history: History) -> None:
    """Who runs migrations as SQL gets the same."""
    history.add("contract", more=f'serves = "{HEAD}"\n')
    config = revisions.alembic_config()
    config.output_buffer = written = io.StringIO()
    with redirect_stdout(io.StringIO()):
        command.upgrade(config, f"{HEAD}:head", sql=True)
    assert f"COMMENT ON TABLE {VERSION_TABLE} IS 'serves {HEAD} and later'" in written.getvalue()


def test_the_oldest_compatible_database_has_what_the_code_uses(empty: Settings) -> None:
    """Every table, column, trigger and function of the head is there, of the same type.

    If it fails, move ``OLDEST_COMPATIBLE`` in ``db/revisions.py`` to the newest
    revision that the code needs.
    """
    used = ("table ", "column ", "trigger ", "function ")

    def facts() -> dict[str, Any]:
        found = catalog(empty.require_database_url())
        return {key: value.get("type") for key, value in found.items() if key.startswith(used)}

    migrate.upgrade(empty, revisions.OLDEST_COMPATIBLE)
    oldest = facts()
    migrate.upgrade(empty)
    assert facts().items() - oldest.items() == set()
