"""What an engine raises when a connection fails, or cannot be had."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, sync_engine
from cartsnitch_common.errors import DatabaseUnavailableError, TimeLimitError
from tests.integration.engine.either import AnyEngine, run, until
from tests.integration.engine.refusals import refused


def test_no_free_connection_is_ours(own: Settings) -> None:
    """A pool that is used up says so in our words, for both drivers."""
    engine = sync_engine(own, pool_size=1, max_overflow=0, pool_timeout=0.05)
    with engine.connect(), refused(DatabaseUnavailableError) as caught:
        engine.connect()
    assert "no connection of the pool" in str(caught.value.reason)
    engine.dispose()


async def test_no_free_connection_is_ours_in_async_code(own: Settings) -> None:
    """The same for asyncpg."""
    engine = async_engine(own, pool_size=1, max_overflow=0, pool_timeout=0.05)
    async with engine.connect():
        with refused(DatabaseUnavailableError):
            await engine.connect()
    await engine.dispose()


@pytest.mark.parametrize(
    "change",
    [
        (r":[^:@]*@", ":canary@"),
        (r"@[^/]*/", "@canary.invalid/"),
        (r"@[^/]*/", "@canary..example/"),
        (r"@[^/]*/", f"@{'canary' * 11}/"),
    ],
)
async def test_no_connection_is_ours(database: str, change: tuple[str, str]) -> None:
    """A login that is refused and a host that is not there or no name: no URL, no password."""
    settings = Settings.load(database_url=re.sub(*change, database, count=1))
    engines: list[AsyncEngine | Engine] = [async_engine(settings), sync_engine(settings)]
    for engine in engines:
        with refused(DatabaseUnavailableError) as caught:
            await run(engine, "SELECT 1")
        assert caught.value.reason in {
            "the server refuses the user or the password",
            "the host is not known",
        }


async def test_a_connection_that_the_server_ends(engine: AnyEngine, database: str) -> None:
    """A backend that is terminated in a statement; the next transaction has a new one."""
    asking = asyncio.create_task(
        asyncio.to_thread(asyncio.run, run(engine, "SELECT pg_sleep(9)"))
        if isinstance(engine, Engine)
        else run(engine, "SELECT pg_sleep(9)")
    )
    end = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE query = 'SELECT pg_sleep(9)' AND datname = current_database()"""
    with psycopg.connect(database, autocommit=True) as other:
        await until(lambda: other.execute(end).fetchone() == (1,))
    with refused(DatabaseUnavailableError) as caught:
        await asking
    assert "the connection" in str(caught.value.reason)
    assert await run(engine, "SELECT 1") == [(1,)]


RAISE = "DO $$ BEGIN RAISE 'canary' USING ERRCODE = '{}'; END $$"


async def test_a_limit_of_time_costs_one_connection_and_a_stopping_server_all(
    own: Settings,
) -> None:
    """What one transaction did wrong says nothing of the pool; a server that stops does."""
    engine = async_engine(own)
    reading = engine.execution_options(postgresql_readonly=True)
    ask = text("SELECT pg_backend_pid()")
    for state, kind, stays in (
        ("25P03", TimeLimitError, True),
        ("57P01", DatabaseUnavailableError, False),
    ):
        async with reading.connect() as one, engine.connect() as two:
            lost, other = await one.scalar(ask), await two.scalar(ask)
            with refused(kind):
                await one.execute(text(RAISE.format(state)))
        async with engine.connect() as one, engine.connect() as two:
            found = {await one.scalar(ask), await two.scalar(ask)}
        assert lost not in found
        assert (other in found) is stays
    await engine.dispose()
