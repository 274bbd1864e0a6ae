"""The relay: committed events from the outbox to Redis, in order, at least once.

One batch is one database transaction: it takes free partitions of the outbox, reads
what is pending in them, publishes it, and moves the rows to the log. A relay that dies
in between has published what stays pending, and another one publishes it again: the
same event ids, which consumers drop.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Final

import asyncpg
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.db.failures import connection_failure, sqlstate_of
from cartsnitch_common.errors import DatabaseError, DatabaseUnavailableError
from cartsnitch_common.events import relay_batch
from cartsnitch_common.events.backoff import Outage, rest, spread
from cartsnitch_common.events.client import async_redis, redis_reason, require_safe
from cartsnitch_common.events.event_log import LogKeeper
from cartsnitch_common.events.held_back import HeldBack
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.relay_publish import Published, publish
from cartsnitch_common.events.texts import one_line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from cartsnitch_common.config import Settings
    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.observe import Observer
    from cartsnitch_common.events.relay_publish import Pending

_LOG: Final = logging.getLogger(__name__)
_DATABASE_ERRORS: Final = (
    DatabaseError,
    SQLAlchemyError,
    OSError,  # while connecting, SQLAlchemy passes on what asyncpg raises
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)
_SHORTEST_PAUSE: Final = 0.002
_LONGEST_GATHERING: Final = 0.01
_LONGER: Final = 1.5
_TELL_INTERVAL: Final = 5.0
_DATABASE_PATIENCE: Final = 10.0  # each statement takes milliseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """How a relay works.

    Attributes:
        batch_size: The most events of one batch.
        batch_bytes: Envelopes of one batch together, beyond which only one more is
            taken: what a relay holds in memory, and sends within the socket's timeout.
        poll_interval: Unit: seconds between two looks at an outbox that stays empty;
            after work the first ones come sooner.
        retention: How long an entry stays in its stream, and in the log.
        stuck_after: Unit: seconds without a word from a relay in the midst of a
            batch after which PostgreSQL takes its partitions away.
    """

    batch_size: int = 1000
    batch_bytes: int = 1024 * 1024
    poll_interval: float = 0.05
    retention: dt.timedelta = dt.timedelta(days=7)
    stuck_after: float = 1.5


class Point(StrEnum):
    """The points of a batch, where a relay may die."""

    READ = "batch read"
    BEFORE_PUBLISH = "before publish"
    AFTER_PUBLISH = "after publish"
    MOVED = "moved before commit"
    COMMITTED = "after commit"


class Relay:
    """Publishes the outbox. Any number may run, and share the work.

    Each batch takes partitions of the outbox that no other relay works on, so that
    events of one type and key are in one relay's hands at a time. One that dies is
    replaced at once, one that hangs within ``stuck_after``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: AsyncEngine | None = None,
        redis: RedisClient | None = None,
        options: RelayOptions | None = None,
        observer: Observer = SILENT,
    ) -> None:
        """Describe a relay. Nothing is opened before it runs.

        Args:
            settings: The servers.
            engine: An engine of ``async_engine`` to use one connection of, instead
                of a connection of its own.
            redis: A client of ``async_redis`` to use instead of one of its own.
            options: How it works.
            observer: Who watches it.

        Raises:
            SetupError: The client is none of ``async_redis``.
        """
        if redis is not None:
            require_safe(redis)
        self._settings = settings
        self._engine = engine
        self._redis = redis
        self._options = options or RelayOptions()
        self._observer = observer
        self._held_back = HeldBack(_LOG, "the relay")
        self._unheard = set[str]()
        # An order of its own, so that relays do not follow each other.
        self._partitions = random.sample(range(relay_batch.PARTITIONS), relay_batch.PARTITIONS)

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until ``stop`` is set, through outages of either server.

        The batch in hand is finished first.

        Raises:
            SettingError: A URL is not set or cannot be read.
        """
        async with self._servers() as (engine, redis):
            await self._run(engine, redis, stop)

    async def run_once(self) -> int:
        """Relay one batch.

        Returns:
            How many events were relayed; 0 also when others are at work on them.

        Raises:
            RedisError: Redis cannot be reached, or refuses a channel; events of the
                others are relayed.
            DatabaseError: The database cannot be reached, or refuses a statement.
        """
        async with self._servers() as (engine, redis):
            published = await self._relay_batch(engine, redis, without=())
        for refusal in published.refused.values():
            raise refusal
        return len(published.ids)

    @asynccontextmanager
    async def _servers(self) -> AsyncIterator[tuple[AsyncEngine, RedisClient]]:
        async with AsyncExitStack() as stack:
            engine, redis = self._engine, self._redis
            if engine is None:
                # A ping before each batch would only tell what its first statement tells.
                engine = async_engine(
                    self._settings, pool_size=1, max_overflow=0, pool_pre_ping=False
                )
                stack.push_async_callback(engine.dispose)
            if redis is None:
                redis = async_redis(self._settings)
                stack.push_async_callback(redis.aclose)
            yield engine, redis

    async def _run(self, engine: AsyncEngine, redis: RedisClient, stop: asyncio.Event) -> None:
        redis_outage, database_outage = (
            Outage(_LOG, "the relay", name, tell=partial(self._observer.outage, "relay", server))
            for name, server in (("Redis", "redis"), ("the database", "database"))
        )
        keeper = LogKeeper(self._options.retention)
        told, pause, relayed = 0.0, _SHORTEST_PAUSE, 0
        while not stop.is_set():
            try:
                await keeper.keep(engine)
                if self._observer is not SILENT and time.monotonic() > told + _TELL_INTERVAL:
                    await self._tell_waiting(engine)
                    told = time.monotonic()
                # A look costs less than a batch, and with nothing to do that is all.
                if relayed or await self._is_waiting(engine):
                    without = self._held_back.now()
                    relayed = len((await self._relay_batch(engine, redis, without)).ids)
            except RedisError as error:
                database_outage.over()
                await redis_outage.pause(stop, redis_reason(error))
                continue
            except _DATABASE_ERRORS as error:
                await database_outage.pause(stop, _database_reason(error))
                continue
            database_outage.over()
            if relayed:
                redis_outage.over()
                # A batch costs as much for one event as for ten: of what comes thick, gather some.
                pause = min(_SHORTEST_PAUSE * relayed, _LONGEST_GATHERING)
            else:
                pause = min(pause * _LONGER, self._options.poll_interval)
            if relayed < max(1, self._options.batch_size // 2):
                await rest(stop, spread(pause))

    async def _relay_batch(
        self, engine: AsyncEngine, redis: RedisClient, without: Collection[str]
    ) -> Published:
        """Relay one batch, without some channels."""
        options, start = self._options, time.monotonic()
        published = Published([], {}, {})
        # A connection that was cut without a word would never answer.
        async with asyncio.timeout(_DATABASE_PATIENCE) as limit, engine.begin() as connection:
            taken = await relay_batch.take(
                connection, self._partitions, without=without, stuck_after=options.stuck_after
            )
            if not taken:
                return published
            # The next batch begins behind the last one.
            behind = self._partitions.index(taken[-1]) + 1
            self._partitions = self._partitions[behind:] + self._partitions[:behind]
            read_at = time.monotonic()
            events = await relay_batch.read(
                connection,
                taken,
                without=without,
                most=options.batch_size,
                size=options.batch_bytes,
            )
            if events:
                await self._reach(Point.READ)
                limit.reschedule(None)
                try:
                    published = await self._publish(connection, redis, events, read_at)
                finally:
                    limit.reschedule(asyncio.get_running_loop().time() + _DATABASE_PATIENCE)
            if published.ids:
                await relay_batch.move(connection, published.ids)
                await self._reach(Point.MOVED)
        await self._reach(Point.COMMITTED)
        self._account(published, events, time.monotonic() - start)
        return published

    async def _publish(
        self,
        connection: AsyncConnection,
        redis: RedisClient,
        events: Sequence[Pending],
        read_at: float,
    ) -> Published:
        """Publish events, and keep the transaction alive as long as Redis takes for it."""
        stuck_after = self._options.stuck_after
        await self._reach(Point.BEFORE_PUBLISH)
        if time.monotonic() - read_at > stuck_after / 2:
            # This process was suspended: another relay may have its partitions.
            await _touch(connection)
        publishing = asyncio.create_task(publish(redis, events, self._options.retention))
        try:
            while not (await asyncio.wait({publishing}, timeout=stuck_after / 5))[0]:
                await _touch(connection)
        except BaseException:
            publishing.cancel()
            await asyncio.gather(publishing, return_exceptions=True)
            raise
        published = await publishing
        await self._reach(Point.AFTER_PUBLISH)
        return published

    def _account(self, published: Published, events: Sequence[Pending], seconds: float) -> None:
        """Tell of a batch that is committed."""
        for channel, refusal in published.refused.items():
            self._held_back.refused(channel, redis_reason(refusal))
            self._observer.refused(channel)
        for channel in published.unheard.keys() - self._unheard:
            self._unheard.add(channel)
            reason = redis_reason(published.unheard[channel])
            _LOG.warning("the relay cannot publish on %s: %s", one_line(channel), reason)
        self._held_back.taken({event.event_type for event in events} - published.refused.keys())
        if published.ids:
            self._observer.relayed(events=len(published.ids), seconds=seconds)

    async def _is_waiting(self, engine: AsyncEngine) -> bool:
        async with asyncio.timeout(_DATABASE_PATIENCE), engine.connect() as connection:
            # No transaction, and so none to begin and end.
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            return await relay_batch.is_waiting(connection)

    async def _tell_waiting(self, engine: AsyncEngine) -> None:
        async with asyncio.timeout(_DATABASE_PATIENCE), engine.begin() as connection:
            events, seconds = await relay_batch.count_waiting(connection)
        self._observer.waiting(events=events, seconds=seconds)

    async def _reach(self, point: Point) -> None:
        """Pass a point of a batch. Nothing happens there, but in tests."""


async def _touch(connection: AsyncConnection) -> None:
    async with asyncio.timeout(_DATABASE_PATIENCE):
        await relay_batch.touch(connection)


def _database_reason(error: BaseException) -> str:
    """What is wrong, without the driver's message: it may quote a row or an address."""
    if isinstance(error, DatabaseError) and not isinstance(error, DatabaseUnavailableError):
        return f"it refuses the statement ({type(error).__name__} {error.sqlstate})"
    if isinstance(error, DBAPIError) and not error.connection_invalidated:
        return f"it refuses the statement ({type(error.orig).__name__} {sqlstate_of(error)})"
    return connection_failure(error)
