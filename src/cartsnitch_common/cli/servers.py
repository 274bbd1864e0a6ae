"""The servers of one command: checked first, and closed when it ends."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import NullPool

from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.events.client import async_redis, check_redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    from cartsnitch_common.config import Settings
    from cartsnitch_common.events.client import RedisClient


@asynccontextmanager
async def opened_redis(settings: Settings) -> AsyncIterator[RedisClient]:
    """A client of Redis, which answers.

    Raises:
        SettingError: The URL is not set, or the server cannot be used.
    """
    await check_redis(settings)
    redis = async_redis(settings)
    try:
        yield redis
    finally:
        await redis.aclose()


@asynccontextmanager
async def opened_sessions(settings: Settings) -> AsyncIterator[async_sessionmaker[AsyncSession]]:
    """Sessions on the database, whose schema is one that this version works with.

    Raises:
        SettingError: The URL is not set, or the database cannot be used.
    """
    # It asks on a connection without asyncio, of which there is nothing else to do yet.
    await asyncio.to_thread(migrate.require_schema, settings)
    engine = async_engine(settings, poolclass=NullPool)
    try:
        yield async_sessions(engine)
    finally:
        await engine.dispose()


@contextmanager
def stopped_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """Within the block SIGTERM and SIGINT set an event and end nothing."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
