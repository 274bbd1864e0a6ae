from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from cartsnitch_common.cli import run
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.events import async_redis
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from tests.integration.events.steering import Command
from tests.lossy import Lossy, lossy

type Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def engine(settings: Settings) -> AsyncIterator[AsyncEngine]:
    engine = async_engine(settings, pool_size=20)
    yield engine
    await engine.dispose()


@pytest.fixture
async def sessions(engine: AsyncEngine) -> Sessions:
    return async_sessions(engine)


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = async_redis(settings)
    yield client
    await client.aclose()


@pytest.fixture
async def effects(sessions: Sessions) -> Any:
    """A table for the effects of handlers, without any constraint that would help them."""
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE effects (key text, event_id uuid, n serial)"))
    return sessions


@pytest.fixture
async def inbox(engine: AsyncEngine, effects: Any) -> AsyncIterator[AsyncpgInbox]:
    """The inbox of asyncpg, which gives back every connection."""
    del effects  # the table
    inbox = AsyncpgInbox(engine)
    yield inbox
    await inbox.aclose()
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]


@pytest.fixture
def own_valkey() -> Iterator[ValkeyServer]:
    """A Valkey that the test may kill."""
    server = ValkeyServer()
    server.start()
    yield server
    server.close()


@pytest.fixture
def proxy(own_valkey: ValkeyServer) -> Iterator[Lossy]:
    """A way to a server of the test's own, on which answers can be lost."""
    with lossy() as proxy:
        proxy.target = own_valkey.port
        yield proxy


@pytest.fixture
async def far(own_valkey: ValkeyServer, proxy: Lossy) -> AsyncIterator[Redis]:
    """A client on that way, with a patience that a test has."""
    url = own_valkey.url.replace(f":{own_valkey.port}", f":{proxy.port}")
    patience = {"redis_socket_timeout": 0.5, "redis_block_time": 0.1}
    client: Any = async_redis(Settings.load(redis_url=url, **patience))
    yield client
    await client.aclose()


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `cartsnitch events ...` in this process; returns its exit code and what it printed."""
    monkeypatch.setenv("CARTSNITCH_DATABASE_URL", settings.require_database_url())
    monkeypatch.setenv("CARTSNITCH_REDIS_URL", settings.require_redis_url())

    async def command(*arguments: object, code: int = 0) -> str:
        capsys.readouterr()
        given = ["events", *map(str, arguments)]
        status = await asyncio.to_thread(run, given)
        printed = capsys.readouterr()
        assert status == code, printed
        return printed.out if code == 0 else printed.out + printed.err

    return command
