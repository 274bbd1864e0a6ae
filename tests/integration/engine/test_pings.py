"""When a connection of the pool is pinged, and what becomes of a pool whose server is gone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, sync_engine
from cartsnitch_common.db.pings import WITHOUT_PING
from cartsnitch_common.errors import DatabaseUnavailableError
from tests.integration.engine.either import AnyEngine, run
from tests.integration.engine.refusals import chained, refused

DRIVERS = ("asyncpg", "psycopg", "sqlalchemy.dialects")
PID = "SELECT pg_backend_pid()"
HEARD = """SELECT pid, state_change FROM pg_stat_activity
            WHERE datname = current_database() AND backend_type = 'client backend'
              AND pid <> pg_backend_pid()"""
END = "SELECT pg_terminate_backend({}, 5000)"


def asked(url: str, sql: str) -> list[Any]:
    """Ask the server on a connection of its own, while the event loop stands still."""
    with psycopg.connect(url) as connection:
        return connection.execute(sql).fetchall()


@contextlib.asynccontextmanager
async def connected(engine: AnyEngine) -> AsyncIterator[Any]:
    if isinstance(engine, AsyncEngine):
        async with engine.connect() as held:
            yield held
    else:
        with engine.connect() as connection:
            yield connection


async def pids(engine: AnyEngine) -> list[int]:
    """The server's processes of both connections of the pool; that to be used next is first."""
    async with connected(engine) as one, connected(engine) as two:
        found = [each.scalar(text(PID)) for each in (two, one)]  # as they go back
        return list(await asyncio.gather(*found)) if isinstance(engine, AsyncEngine) else found


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize(
    ("options", "just_now", "idle"),
    [
        ({}, False, True),
        ({"pool_pre_ping": True}, True, True),
        ({"pool_pre_ping": False}, False, False),
    ],
    ids=["as it is", "always", "never"],
)
async def test_only_a_connection_that_was_idle_is_pinged(
    own: Settings, database: str, kind: str, options: dict[str, bool], *, just_now: bool, idle: bool
) -> None:
    """The server hears nothing at a checkout but after half a second, or as the caller wants it."""
    make = sync_engine if kind == "sync" else async_engine
    engine: AnyEngine = make(own, pool_size=1, max_overflow=0, **options)
    await run(engine, "SELECT 1")
    for pause, pinged in ((0.0, just_now), (WITHOUT_PING, idle)):
        await asyncio.sleep(pause)
        before = asked(database, HEARD)
        async with connected(engine):
            pass
        assert (asked(database, HEARD) != before) is pinged
    if isinstance(engine, Engine):
        engine.dispose()
    else:
        await engine.dispose()


@pytest.mark.parametrize("idle", [0.05, WITHOUT_PING], ids=["just now", "idle"])
async def test_a_connection_that_the_server_ended_is_replaced(
    engine: AnyEngine, database: str, idle: float
) -> None:
    """Nobody sees an error, however short ago it was in use, and the whole pool is new."""
    before = await pids(engine)
    assert asked(database, END.format(before[0])) == [(True,)]
    await asyncio.sleep(idle)
    assert not {*before} & {*await pids(engine)}


async def test_an_end_that_the_event_loop_has_not_read_is_seen(
    own: Settings, database: str
) -> None:
    """Nor is there an error when the service was busy since the server said that it ends it."""
    engine = async_engine(own)
    before = await pids(engine)
    assert asked(database, END.format(before[0])) == [(True,)]
    time.sleep(0.2)  # noqa: ASYNC251 - the loop must not read of it
    assert await run(engine, "SELECT 1") == [(1,)]
    assert not {*before} & {*await pids(engine)}
    await engine.dispose()


@pytest.mark.parametrize("idle", [0.0, WITHOUT_PING], ids=["just now", "idle"])
async def test_a_server_that_is_gone_says_why(
    engine: AnyEngine, database: str, idle: float
) -> None:
    """The connection that is to stand in for a lost one is refused in our words alone."""
    await run(engine, "SELECT 1")
    server, _, name = database.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as other:
        other.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await asyncio.sleep(0.05 + idle)
        with refused(DatabaseUnavailableError) as caught:
            await run(engine, "SELECT 1")
        other.execute(f"CREATE DATABASE {name}")
    assert caught.value.reason == "the database does not exist"
    for each in chained(caught.value):
        if type(each).__module__.startswith(DRIVERS):  # its words are blanked
            assert each.args == (type(each).__name__,)


@pytest.mark.parametrize("idle", [0.0, WITHOUT_PING], ids=["just now", "idle"])
async def test_a_server_that_vanishes_without_a_word_is_one_error(
    own: Settings, idle: float
) -> None:
    """Whether a statement or a ping meets it, it ends in time, and the whole pool is new."""
    limits = {"database_statement_timeout": 0.2, "database_connect_timeout": 1}
    engine = async_engine(own.model_copy(update=limits))
    before = await pids(engine)
    os.kill(before[0], signal.SIGSTOP)
    try:
        await asyncio.sleep(idle)
        async with asyncio.timeout(5):
            with refused(DatabaseUnavailableError) as caught:
                await run(engine, "SELECT 1")
            assert not {*before} & {*await pids(engine)}
    finally:
        os.kill(before[0], signal.SIGCONT)
    assert "no answer in time" in str(caught.value.reason)
    await engine.dispose()
