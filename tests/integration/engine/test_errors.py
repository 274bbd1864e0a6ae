from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import PendingRollbackError, ProgrammingError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from cartsnitch_common.config import Settings
from cartsnitch_common.db.driver_errors import database_errors
from cartsnitch_common.db.engine import async_engine, async_sessions, sync_engine, sync_sessions
from cartsnitch_common.db.models import Store, User
from cartsnitch_common.embedded import EmbeddedServers
from cartsnitch_common.errors import (
    AccessDeniedError,
    ConstraintKind,
    ConstraintViolationError,
    DatabaseError,
    DatabaseUnavailableError,
    DataRefusedError,
    InputError,
    TimeLimitError,
    TransactionAbortedError,
)
from cartsnitch_common.testing import plugin
from tests.integration.engine.either import AnyEngine, run
from tests.integration.engine.refusals import refused, shown

CANARY = "canary@example.com"
ADD_USER = "INSERT INTO users (id, email) VALUES (:id, :email)"
ADD_STORE = "INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')"


@pytest.fixture(scope="module")
def one_for_all(cartsnitch_servers: EmbeddedServers, cartsnitch_template: str) -> Iterator[str]:
    yield from plugin._own_database(cartsnitch_servers.database_url, template=cartsnitch_template)


@pytest.fixture
def database(one_for_all: str) -> Iterator[str]:
    """One database for all of these tests: nearly everything that they do is refused."""
    yield one_for_all
    with psycopg.connect(one_for_all) as connection:
        connection.execute("DELETE FROM stores; DELETE FROM users")


VIOLATIONS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "duplicate": (
        [ADD_USER, "INSERT INTO users (id, email) VALUES (:id || '2', :email)"],
        {"kind": ConstraintKind.UNIQUE, "table": "users", "sqlstate": "23505"},
    ),
    "no parent": (
        [
            """INSERT INTO purchases (user_id, store_id, receipt_id, purchase_date, total)
               VALUES (:id || :email, gen_random_uuid(), 'canary', '2026-01-01', 1)"""
        ],
        {"kind": ConstraintKind.FOREIGN_KEY, "table": "purchases", "sqlstate": "23503"},
    ),
    "check": (
        ["INSERT INTO stores (name, slug) VALUES (:id || :email, 'aldi')"],
        {"kind": ConstraintKind.CHECK, "table": "stores", "sqlstate": "23514"},
    ),
    "null": (
        ["INSERT INTO users (id, email, display_name) VALUES (:id, NULL, :email)"],
        {"kind": ConstraintKind.NOT_NULL, "table": "users", "column": "email", "constraint": None},
    ),
    "exclusion": (
        [
            "CREATE TEMP TABLE kept (name text, EXCLUDE USING hash (name WITH =)) ON COMMIT DROP",
            "INSERT INTO kept VALUES (:id || :email)",
            "INSERT INTO kept VALUES (:id || :email)",
        ],
        {"kind": ConstraintKind.EXCLUSION, "constraint": "kept_name_excl", "sqlstate": "23P01"},
    ),
    "deferred to the commit": (
        [
            "CREATE TEMP TABLE kept (name text UNIQUE DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO kept VALUES (:id || :email), (:id || :email)",
        ],
        {"kind": ConstraintKind.UNIQUE, "constraint": "kept_name_key", "sqlstate": "23505"},
    ),
    "said by a function": (
        ["DO $$ BEGIN RAISE EXCEPTION 'canary' USING ERRCODE = '23000'; END $$"],
        {"kind": None, "constraint": None, "sqlstate": "23000"},
    ),
}


@pytest.mark.parametrize("case", VIOLATIONS)
async def test_a_broken_constraint_is_named_and_nothing_else(engine: AnyEngine, case: str) -> None:
    """Kind, constraint, table and column are attributes; the row is nowhere."""
    statements, facts = VIOLATIONS[case]
    values = {"id": "canary-id", "email": CANARY} if ":id" in statements[-1] else {}
    with refused(ConstraintViolationError) as caught:
        await run(engine, *statements, **values)
    error = caught.value
    assert isinstance(error, InputError)
    assert {name: getattr(error, name) for name in facts} == facts
    if error.constraint is not None:
        assert str(error).startswith(f"{error.constraint}: ")
    elif error.column is not None:
        assert str(error) == "users.email: must not be null"
    assert await run(engine, "SELECT 1") == [(1,)]


REFUSALS = [
    (
        DataRefusedError,
        "22001",
        "INSERT INTO stores (name) VALUES (repeat('canary', 999))",
    ),
    (DataRefusedError, "22P02", "SELECT CAST('canary' || random() AS uuid)"),
    (DataRefusedError, "22003", "SELECT CAST('1e12' AS numeric(12, 2))"),
    (DataRefusedError, "22007", "SELECT CAST('canary' || random() AS date)"),
    (AccessDeniedError, "42501", "SET LOCAL ROLE pg_monitor; DELETE FROM users"),
    (TimeLimitError, "57014", "SET LOCAL statement_timeout = 50; SELECT pg_sleep(5)"),
    *(
        (kind, state, f"DO $$ BEGIN RAISE 'canary' USING ERRCODE = '{state}'; END $$")
        for kind, states in (
            (TransactionAbortedError, ("40001", "40P01", "55P03")),
            (DatabaseUnavailableError, ("08006", "25006", "53100", "57P01", "57P03", "58030")),
        )
        for state in states
    ),
]


@pytest.mark.parametrize(("kind", "state", "statements"), REFUSALS)
async def test_each_code_of_the_server_has_its_error(
    engine: AnyEngine, kind: type[DatabaseError], state: str, statements: str
) -> None:
    """The SQLSTATE decides on the class and stays readable; the server's words do not."""
    with refused(kind) as caught:
        await run(engine, *statements.split("; ", 1 if "DO" not in statements else 0))
    assert caught.value.sqlstate == state
    assert await run(engine, "SELECT 1") == [(1,)]


@pytest.mark.parametrize(
    ("statement", "value"),
    [("SELECT CAST(:v AS text)", "canary\0"), ("SELECT CAST(:v AS date)", "canary")],
)
async def test_a_value_that_the_driver_refuses(
    engine: AnyEngine, statement: str, value: str
) -> None:
    """What never reaches the server is refused in the same way."""
    with refused(DataRefusedError):
        await run(engine, statement, v=value)


async def test_what_the_type_of_a_column_refuses_is_ours_too(own: Settings) -> None:
    """An unknown enum value and a date that is none, given to the ORM."""
    engine = async_engine(own)
    async with async_sessions(engine)() as session:
        session.add(Store(name="Aldi", slug="canary"))
        with refused(DataRefusedError):
            await session.flush()
    await engine.dispose()


async def test_an_error_of_the_program_stays_the_drivers(engine: AnyEngine) -> None:
    """SQL that is wrong says what is wrong: it is for the programmer and holds no row."""
    with pytest.raises(ProgrammingError, match="no_such_table"):
        await run(engine, "SELECT * FROM no_such_table")


async def test_a_session_goes_on_after_a_savepoint(own: Settings) -> None:
    """A refused row within a savepoint costs nothing but itself, flushed or executed."""
    engine = async_engine(own)
    async with async_sessions(engine).begin() as session:
        session.add(User(id="u1", email=CANARY))
        await session.flush()
        with refused(ConstraintViolationError):
            async with session.begin_nested():
                session.add(User(id="u2", email=CANARY))
        with refused(ConstraintViolationError):
            async with session.begin_nested():
                await session.execute(text(ADD_USER), {"id": "u1", "email": "other@example.com"})
        session.add(User(id="u3", email="third@example.com"))
    assert await run(engine, "SELECT id FROM users ORDER BY id") == [("u1",), ("u3",)]
    await engine.dispose()


def two_with_one_email(session: AsyncSession | Session) -> None:
    session.add_all([User(id="u1", email=CANARY), User(id="u2", email=CANARY)])


async def test_a_session_must_be_rolled_back_after_a_refused_flush(own: Settings) -> None:
    """SQLAlchemy's own rules for sessions hold: rollback, then it works again."""
    engine = async_engine(own)
    async with async_sessions(engine)() as session:
        two_with_one_email(session)
        with refused(ConstraintViolationError):
            await session.commit()
        await session.rollback()
        assert await session.scalar(text("SELECT 1")) == 1
    await engine.dispose()


def test_a_sync_session_must_be_rolled_back_after_a_refused_flush(own: Settings) -> None:
    """The same; and what SQLAlchemy says to who does not, shows no row either."""
    engine = sync_engine(own)
    with sync_sessions(engine)() as session:
        two_with_one_email(session)
        with refused(ConstraintViolationError):
            session.scalars(select(User.id))  # which flushes
        with pytest.raises(PendingRollbackError) as caught:
            session.execute(text("SELECT 1"))
        assert "canary" not in shown(caught.value)
        session.rollback()
        assert session.scalar(text("SELECT 1")) == 1
    engine.dispose()


async def test_a_lock_that_another_transaction_holds(engine: AnyEngine, database: str) -> None:
    """Who does not want to wait for it is told to try again."""
    await run(engine, ADD_STORE)
    async with await psycopg.AsyncConnection.connect(database) as other:
        await other.execute("SELECT * FROM stores FOR UPDATE")
        with refused(TransactionAbortedError) as caught:
            await run(engine, "SELECT * FROM stores FOR UPDATE NOWAIT")
    assert caught.value.sqlstate == "55P03"


async def test_code_on_the_driver_itself_raises_ours(own: Settings, database: str) -> None:
    """Around asyncpg and psycopg, the context manager does what the engines do."""
    connection = await asyncpg.connect(database)
    insert = "INSERT INTO users (id, email) VALUES ($1, $2)"
    await connection.execute(insert, "u1", CANARY)
    with refused(ConstraintViolationError) as caught, database_errors():
        await connection.execute(insert, "u2", CANARY)
    assert caught.value.constraint == "uq_users_email"
    with refused(DataRefusedError), database_errors():
        await connection.execute(insert, "canary", 7)
    with refused(ConstraintViolationError), database_errors():
        await connection.copy_records_to_table(
            "users", records=[("u1", CANARY)], columns=["id", "email"]
        )
    await connection.close()
    with refused(DatabaseUnavailableError), database_errors():
        await connection.execute("SELECT 1")
    with (
        psycopg.connect(database) as blocking,
        refused(ConstraintViolationError),
        database_errors(),
    ):
        blocking.execute("INSERT INTO users (id, email) VALUES ('u2', %s)", [CANARY])
    engine = sync_engine(own, driver_errors=True)
    with refused(ConstraintViolationError), database_errors():
        await run(engine, ADD_USER, id="u2", email=CANARY)
    engine.dispose()


async def test_what_the_caller_was_handling_keeps_its_text(engine: AnyEngine) -> None:
    """Only the driver's errors lose their words, and ours passes a second handling as it is."""
    handled = ValueError("seven")
    try:
        raise handled
    except ValueError:
        with refused(ConstraintViolationError) as caught, database_errors():
            await run(engine, ADD_USER, id="u1", email="")
    assert str(handled) == "seven"
    assert caught.value.constraint == "ck_users_email_format"
