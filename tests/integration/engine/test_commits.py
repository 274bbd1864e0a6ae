"""A commit that writes nothing is no commit: an error that was caught has ended the transaction."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions, sync_engine, sync_sessions
from cartsnitch_common.errors import DatabaseError, TransactionAbortedError
from tests.integration.engine.either import run

ADD = "INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')"
CAUGHT = (DatabaseError, SQLAlchemyError)

settings_with = pytest.mark.parametrize("limit", [0, 5])
errors = pytest.mark.parametrize("driver_errors", [False, True])


@settings_with
@errors
async def test_a_commit_behind_a_hidden_error_is_an_error(
    database: str, limit: float, *, driver_errors: bool
) -> None:
    """Session and connection say so, and the engine's next transaction is a good one."""
    settings = Settings.load(database_url=database, database_statement_timeout=limit)
    engine = async_engine(settings, driver_errors=driver_errors, pool_size=1, max_overflow=0)
    async with async_sessions(engine)() as session:
        await session.execute(text(ADD))
        with suppress(*CAUGHT):
            await session.execute(text("SELECT 1 / 0"))
        with pytest.raises(TransactionAbortedError):
            await session.commit()
    async with engine.connect() as connection:
        with suppress(*CAUGHT):
            await connection.execute(text("SELECT 1 / 0"))
        with pytest.raises(TransactionAbortedError):
            await connection.commit()
    await _is_as_good_as_new(engine)
    await engine.dispose()


@settings_with
@errors
async def test_and_so_it_is_for_threads(
    database: str, limit: float, *, driver_errors: bool
) -> None:
    """The same by psycopg."""
    settings = Settings.load(database_url=database, database_statement_timeout=limit)
    engine = sync_engine(settings, driver_errors=driver_errors, pool_size=1, max_overflow=0)
    with sync_sessions(engine)() as session:
        session.execute(text(ADD))
        with suppress(*CAUGHT):
            session.execute(text("SELECT 1 / 0"))
        with pytest.raises(TransactionAbortedError):
            session.commit()
    with engine.connect() as connection:
        with suppress(*CAUGHT):
            connection.execute(text("SELECT 1 / 0"))
        with pytest.raises(TransactionAbortedError):
            connection.commit()
    await _is_as_good_as_new(engine)
    engine.dispose()


async def test_a_connection_that_is_gone_too_is_the_same_error(database: str) -> None:
    """No word of the driver, and the next transaction has another connection."""
    engine = sync_engine(Settings.load(database_url=database), pool_size=1, max_overflow=0)
    with sync_sessions(engine)() as session, psycopg.connect(database, autocommit=True) as other:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with suppress(*CAUGHT):
            session.execute(text("SELECT 1 / 0"))
        other.execute("SELECT pg_terminate_backend(%s, 2000)", (pid,))
        with pytest.raises(TransactionAbortedError) as caught:
            session.commit()
    assert caught.value.__context__ is None
    await _is_as_good_as_new(engine)
    engine.dispose()


@pytest.mark.parametrize("commit", ["commit", "\n Commit", "END", "end;", "COMMIT AND CHAIN"])
async def test_a_commit_that_code_says_itself(database: str, commit: str) -> None:
    """On asyncpg's own connection, however it is spelt."""
    engine = async_engine(Settings.load(database_url=database))
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute("BEGIN")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await driver.execute("SELECT 1 / 0")
        with pytest.raises(TransactionAbortedError):
            await driver.execute(commit)
    await engine.dispose()


async def test_a_savepoint_takes_the_error_away(database: str) -> None:
    """What is caught around a savepoint costs what is within it, and the commit is one."""
    engine = async_engine(Settings.load(database_url=database))
    async with async_sessions(engine).begin() as session:
        await session.execute(text(ADD))
        with suppress(*CAUGHT):
            async with session.begin_nested():
                await session.execute(text("SELECT 1 / 0"))
    assert await run(engine, "SELECT count(*) FROM stores") == [(1,)]
    await engine.dispose()


async def _is_as_good_as_new(engine: Any) -> None:
    assert await run(engine, "SELECT count(*) FROM stores") == [(0,)]
    await run(engine, ADD)
    assert await run(engine, "SELECT count(*) FROM stores") == [(1,)]
    if isinstance(engine, Engine):
        assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
