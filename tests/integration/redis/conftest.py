from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from tests.redis_servers import RedisNode

type Sessions = async_sessionmaker[AsyncSession]

QUICK = {"redis_connect_timeout": 1.0, "redis_socket_timeout": 1.5, "redis_block_time": 0.2}
"""Settings with which a test waits for nothing long."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Redis in one of its forms.

    Attributes:
        url: What ``CARTSNITCH_REDIS_URL`` says.
        servers: The processes that hold data.
    """

    url: str
    servers: list[RedisNode]

    def clients(self) -> Iterator[redis.Redis]:
        """A client of each server that runs, as somebody who may do everything."""
        for server in self.servers:
            if server.is_running:
                with server.admin() as client:
                    yield client

    def clear(self) -> None:
        """Leave nothing in it."""
        for client in self.clients():
            if client.execute_command("ROLE")[0] == "master":
                client.flushall()

    def cut(self, kind: str = "normal") -> int:
        """Cut every client's connection; returns how many there were."""
        return sum(client.client_kill_filter(_type=kind) for client in self.clients())


@pytest.fixture
def place_settings(place: Place, cartsnitch_database: str) -> Settings:
    """Settings for the place, empty, and a database of the test's own."""
    place.clear()
    return Settings.load(database_url=cartsnitch_database, redis_url=place.url, **QUICK)


@pytest.fixture
async def place_sessions(place_settings: Settings) -> AsyncIterator[Sessions]:
    """Sessions on that database, with a table for the effects of handlers."""
    engine: Any = async_engine(place_settings, pool_size=10)
    sessions = async_sessions(engine)
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE effects (key text, event_id uuid, n serial)"))
    yield sessions
    await engine.dispose()
