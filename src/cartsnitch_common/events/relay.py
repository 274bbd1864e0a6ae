"""The relay: committed events from the outbox to Redis, in order, at least once.

One batch is one database transaction: it takes the relay's lock, reads what is
pending, publishes that in one transaction of Redis, and moves the rows to the log.
A relay that dies in between has published what stays pending, and the next one
publishes it again: the same event ids, which consumers drop.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
from redis.exceptions import RedisError
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Table,
    any_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from cartsnitch_common.contract.bindings import stream_name
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.db.failures import connection_failure, sqlstate_of
from cartsnitch_common.db.models.event import LoggedEvent, OutboxEvent
from cartsnitch_common.errors import DatabaseError, DatabaseUnavailableError
from cartsnitch_common.events.backoff import Outage, rest, spread
from cartsnitch_common.events.client import (
    ClusterClient,
    async_redis,
    redis_reason,
    require_safe,
)
from cartsnitch_common.events.names import ENTRY_FIELD, RELAY_LOCK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Insert, Row, Select
    from sqlalchemy.ext.asyncio import AsyncEngine

    from cartsnitch_common.config import Settings
    from cartsnitch_common.events.client import RedisClient

_LOG: Final = logging.getLogger(__name__)
_DATABASE_ERRORS: Final = (
    DatabaseError,
    SQLAlchemyError,
    OSError,  # while connecting, SQLAlchemy passes on what asyncpg raises
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """How a relay works.

    Attributes:
        batch_size: The most events of one batch.
        batch_bytes: Envelopes of one batch together, beyond which only one more is
            taken; so that a batch is sent well within the socket's timeout.
        poll_interval: Unit: seconds between two looks at an empty outbox.
        standby_interval: Unit: seconds between two tries while another relay works.
        retention: How long an entry stays in its stream.
        stuck_after: Unit: seconds without a word from a relay in the midst of a
            batch after which PostgreSQL takes its lock away.
    """

    batch_size: int = 500
    batch_bytes: int = 4 * 1024 * 1024
    poll_interval: float = 0.04
    standby_interval: float = 1.0
    retention: dt.timedelta = dt.timedelta(days=7)
    stuck_after: float = 60.0


class Relay:
    """Publishes the outbox. Any number may run: one works, the others stand by.

    The lock belongs to a batch's transaction, so there is no moment in which a
    relay that lost its connection still believes that it holds it, and nothing
    depends on a session that a connection pooler might share.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        engine: AsyncEngine | None = None,
        redis: RedisClient | None = None,
        options: RelayOptions | None = None,
    ) -> None:
        """Describe a relay. Nothing is opened before it runs.

        Args:
            settings: The servers.
            engine: An engine of ``async_engine`` to use one connection of, instead
                of a connection of its own.
            redis: A client of ``async_redis`` to use instead of one of its own.
            options: How it works.

        Raises:
            SetupError: The client is none of ``async_redis``.
        """
        if redis is not None:
            require_safe(redis)
        self._settings = settings
        self._engine = engine
        self._redis = redis
        self._options = options or RelayOptions()

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
            How many events were relayed; 0 also when another relay is at work.
        """
        async with self._servers() as (engine, redis):
            return await self._relay_batch(engine, redis) or 0

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
        redis_outage = Outage(_LOG, "the relay", "Redis")
        database_outage = Outage(_LOG, "the relay", "the database")
        standing_by = False
        while not stop.is_set():
            try:
                relayed = await self._relay_batch(engine, redis)
            except RedisError as error:
                database_outage.over()
                await redis_outage.pause(stop, redis_reason(error))
                continue
            except _DATABASE_ERRORS as error:
                await database_outage.pause(stop, _database_reason(error))
                continue
            database_outage.over()
            if (relayed is None) is not standing_by:
                standing_by = relayed is None
                _LOG.info("the relay %s", "stands by" if standing_by else "is at work")
            if relayed is None:
                await rest(stop, spread(self._options.standby_interval))
            elif relayed == 0:
                await rest(stop, spread(self._options.poll_interval))
            else:
                redis_outage.over()

    async def _relay_batch(self, engine: AsyncEngine, redis: RedisClient) -> int | None:
        """Relay one batch; None when another relay is at work."""
        options = self._options
        refused: Exception | None = None
        async with engine.begin() as connection:
            # A statement of its own: the next one must see what the last holder did.
            if not await connection.scalar(_lock(), {"stuck_after": _milliseconds(options)}):
                return None
            limits = {"most": options.batch_size, "bytes": options.batch_bytes}
            rows = (await connection.execute(_pending(), limits)).all()
            if not rows:
                return 0
            sent, refused = await self._send(redis, rows)
            if sent:
                await connection.execute(_move(), {"ids": sent})
        if refused is not None:
            raise refused
        return len(sent)

    async def _send(
        self, redis: RedisClient, rows: Sequence[Row[Any]]
    ) -> tuple[list[int], Exception | None]:
        """Publish rows; return the ids of those that are out, and the first refusal."""
        if not isinstance(redis, ClusterClient):
            return await self._transact(redis, rows)
        # A transaction is of one node, and a channel that is down holds up no other.
        channels: dict[str, list[Row[Any]]] = {}
        for row in rows:
            channels.setdefault(row.event_type, []).append(row)
        outcomes = await asyncio.gather(
            *(self._transact(redis, of_one) for of_one in channels.values()),
            return_exceptions=True,
        )
        sent, refused = list[int](), None
        for outcome in outcomes:
            if isinstance(outcome, tuple):
                sent += outcome[0]
                refused = refused or outcome[1]
            elif isinstance(outcome, RedisError):
                refused = refused or outcome
            else:
                raise outcome
        return sent, refused

    async def _transact(
        self, redis: RedisClient, rows: Sequence[Row[Any]]
    ) -> tuple[list[int], Exception | None]:
        """Publish rows in one transaction of Redis."""
        oldest = int((time.time() - self._options.retention.total_seconds()) * 1000)
        # In one MULTI: if Redis takes one command and refuses another, say while it
        # runs out of memory, a later event of a key might be out before an earlier.
        async with redis.pipeline(transaction=True) as pipe:
            for row in rows:
                stream, envelope = stream_name(row.event_type), row.envelope
                pipe.xadd(stream, {ENTRY_FIELD: envelope}, minid=oldest, approximate=True)
                pipe.publish(row.event_type, envelope)
            replies: list[Any] = await pipe.execute(raise_on_error=False)
        sent, refused = [], None
        for row, *answers in zip(rows, replies[::2], replies[1::2], strict=True):
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            if errors:
                # What fails within a MULTI fails for all of its stream: a key of
                # another type. The other streams go on.
                refused = refused or errors[0]
            else:
                sent.append(row.id)
        return sent, refused


def _milliseconds(options: RelayOptions) -> str:
    return str(int(options.stuck_after * 1000))


def _database_reason(error: BaseException) -> str:
    """What is wrong, without the driver's message: it may quote a row or an address."""
    if isinstance(error, DatabaseError) and not isinstance(error, DatabaseUnavailableError):
        return f"it refuses the statement ({type(error).__name__} {error.sqlstate})"
    if isinstance(error, DBAPIError) and not error.connection_invalidated:
        return f"it refuses the statement ({type(error.orig).__name__} {sqlstate_of(error)})"
    return connection_failure(error)


@cache
def _lock() -> Select[Any]:
    """Whether this transaction has the relay's lock; it also bounds how long it may idle."""
    timeout = func.set_config(
        "idle_in_transaction_session_timeout", bindparam("stuck_after"), literal(value=True)
    )
    return select(func.pg_try_advisory_xact_lock(*RELAY_LOCK), timeout)


@cache
def _pending() -> Select[Any]:
    """The oldest rows by id, as many as a batch may hold."""
    table = cast("Table", OutboxEvent.__table__)
    oldest = (
        select(table.c.id, table.c.event_type, table.c.envelope)
        .order_by(table.c.id)
        .limit(bindparam("most", type_=BigInteger))
        .subquery("oldest")
    )
    size = func.octet_length(oldest.c.envelope)
    before = func.sum(size).over(order_by=oldest.c.id) - size
    counted = select(oldest, before.label("before")).subquery("counted")
    return (
        select(counted.c.id, counted.c.event_type, counted.c.envelope)
        .where(counted.c.before < bindparam("bytes", type_=BigInteger))
        .order_by(counted.c.id)
    )


@cache
def _move() -> Insert:
    """Move rows from the outbox to the log."""
    outbox = cast("Table", OutboxEvent.__table__)
    log = cast("Table", LoggedEvent.__table__)
    ids = bindparam("ids", type_=ARRAY(BigInteger))
    moved = delete(outbox).where(outbox.c.id == any_(ids)).returning(*outbox.c).cte("moved")
    return insert(log).from_select(moved.c.keys(), select(*moved.c))
