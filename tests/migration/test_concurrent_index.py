from __future__ import annotations

from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.migrate import MigrationError
from cartsnitch_common.db.revisions import alembic_config
from tests.migration.conftest import History

UP = """\
with op.get_context().autocommit_block():
        op.create_index("ix_stores_name", "stores", ["name"], postgresql_concurrently=True{more})
"""
LIMITS = {"lock_timeout": "50ms", "statement_timeout": "300ms"}
DOWN = """\
with op.get_context().autocommit_block():
        op.drop_index("ix_stores_name", "stores", postgresql_concurrently=True, if_exists=True)
"""


@pytest.fixture
def connection(database: str) -> Any:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


def is_valid(connection: psycopg.Connection[Any]) -> list[bool]:
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_stores_name')"
    return [row[0] for row in connection.execute(query)]


def oid(connection: psycopg.Connection[Any]) -> int:
    found = connection.execute("SELECT to_regclass('ix_stores_name')::oid").fetchone()
    assert found is not None
    return int(found[0])


def test_an_index_is_built_and_dropped(
    history: History, at_head: Settings, connection: psycopg.Connection[Any]
) -> None:
    """A concurrent index goes up and down like any other revision."""
    made = history.add("index", UP.format(more=""), down=DOWN)
    before = migrate.current(at_head)
    assert migrate.upgrade(at_head).after == made
    assert is_valid(connection) == [True]
    assert before is not None
    assert migrate.downgrade(at_head, before).after == before
    assert is_valid(connection) == []


def test_a_build_that_failed_is_done_again(
    history: History, at_head: Settings, connection: psycopg.Connection[Any]
) -> None:
    """An INVALID index is found by the next run, dropped and built; it is never skipped."""
    made = history.add("index", UP.format(more=", unique=True"), down=DOWN)
    connection.execute("INSERT INTO stores (name, slug) VALUES ('M', 'meijer'), ('M', 'kroger')")
    with pytest.raises(MigrationError, match=r"could not create unique index .* \(23505\)"):
        migrate.upgrade(at_head)
    assert is_valid(connection) == [False]
    connection.execute("DELETE FROM stores WHERE slug = 'kroger'")
    assert migrate.upgrade(at_head).after == made
    assert is_valid(connection) == [True]


def test_an_index_that_is_whole_is_kept(
    history: History, at_head: Settings, connection: psycopg.Connection[Any]
) -> None:
    """A run that was killed after the build, before it could note it, costs no second build."""
    made = history.add("index", UP.format(more=""), down=DOWN)
    connection.execute("CREATE INDEX ix_stores_name ON stores (name)")
    first = oid(connection)
    assert migrate.upgrade(at_head).after == made
    assert oid(connection) == first


def test_a_databases_limits_do_not_end_a_build(
    history: History, at_head: Settings, connection: psycopg.Connection[Any]
) -> None:
    """A lock timeout would leave an INVALID index; the database's does not hold for the build."""
    made = history.add("index", UP.format(more=""), down=DOWN)
    limit_statements(connection)
    # A writer, for whose end the build waits.
    with psycopg.connect(at_head.require_database_url()) as writer:
        writer.execute("INSERT INTO stores (name, slug) VALUES ('M', 'meijer')")
        runner = history.start(at_head.require_database_url())
        runner.wait_until_ready()
        runner.go()
        waiting = "SELECT 1 FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
        while not connection.execute(waiting).fetchone():
            assert runner.process.poll() is None
        begun = oid(connection)
        connection.execute("SELECT pg_sleep(0.25)")
        connection.execute("SELECT pg_sleep(0.25)")
        writer.commit()
    assert runner.answer()[0] == made
    assert is_valid(connection) == [True]
    assert oid(connection) == begun, "a limit ended the build, and a second one was needed"


@pytest.mark.parametrize("last", ["SELECT pg_sleep(0.5)", "SELECT 1 / 0"])
def test_a_databases_limits_hold_again_afterwards(
    history: History, at_head: Settings, connection: psycopg.Connection[Any], last: str
) -> None:
    """What is filled outside a transaction may take its time; the session keeps its limits."""
    more = f'with op.get_context().autocommit_block():\n        op.execute("{last}")\n'
    history.add("filled", more)
    limit_statements(connection)
    with migrate.exclusive_connection(at_head) as own:
        config = alembic_config()
        config.attributes["connection"] = own
        if "0" in last.partition("/")[2]:
            with pytest.raises(DBAPIError, match="division by zero"):
                command.upgrade(config, "head")
            own.rollback()
        else:
            command.upgrade(config, "head")
        for name, value in LIMITS.items():
            assert own.exec_driver_sql(f"SHOW {name}").scalar() == value


def limit_statements(connection: psycopg.Connection[Any]) -> None:
    for name, value in LIMITS.items():
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET {name} = '{value}'")
