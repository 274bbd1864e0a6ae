"""The inbox for handlers that write with asyncpg itself, at a fifth of the cost in Python.

An event is three round trips: the transaction's begin with the mark, what the handler says,
and the commit. With SQLAlchemy's session (``inbox.SqlInbox``) it is more of both.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.db.driver_errors import database_error
from cartsnitch_common.db.failures import connection_failure
from cartsnitch_common.errors import (
    DatabaseUnavailableError,
    InboxUnavailableError,
    TransactionAbortedError,
)
from cartsnitch_common.events.marking import marking
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Sequence

    import asyncpg
    from sqlalchemy import PoolProxiedConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from cartsnitch_common.events.delivery import DeadLetter

type Connection = asyncpg.Connection[Any]

_MARK: Final = (
    "INSERT INTO event_inbox (consumer, event_id) VALUES ({}, '{}') ON CONFLICT DO NOTHING"
)
_MARK_ALL: Final = (
    "INSERT INTO event_inbox (consumer, event_id) SELECT $1, unnest($2::uuid[])"
    " ON CONFLICT DO NOTHING RETURNING event_id"
)
_MARKED: Final = (
    "SELECT event_id FROM event_inbox WHERE consumer = $1 AND event_id = ANY ($2::uuid[])"
)
_BURY: Final = (
    "INSERT INTO event_dead_letters (id, consumer, stream, entry_id, envelope, reason, deliveries)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING"
)


class AsyncpgInbox:
    """The inbox of a consumer whose handlers get a connection of asyncpg, in a transaction.

    consumer = Consumer(redis, AsyncpgInbox(engine), group="stickershock")

    @consumer.on(PricesUpdated)
    async def note(event: Event[PricesUpdated], connection: asyncpg.Connection) -> None: ...

    It takes a connection of the engine's pool for each handler that runs at once, and
    keeps them until ``aclose``.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        """Take an engine of ``async_engine``; nothing is opened before it is used."""
        self._engine = engine
        self._free: list[PoolProxiedConnection] = []

    async def aclose(self) -> None:
        """Give the connections back, when no consumer uses the inbox any more."""
        while self._free:
            self._drop(self._free.pop())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """See ``delivery.Inbox``."""
        held = await self._connected()
        try:
            connection: Any = held.driver_connection
            yield connection
            if connection.is_in_transaction():
                await _commit(connection)
            else:
                await connection.execute("SELECT 1")  # whether it answers is all that was asked
        except BaseException as error:
            if await _rolled_back(held):
                self._free.append(held)
            else:
                self._drop(held)
            ours = database_error(error, lost=isinstance(error, ConnectionError))
            if isinstance(ours, DatabaseUnavailableError) and ours.reason is not None:
                raise InboxUnavailableError(ours.reason) from error
            raise
        self._free.append(held)

    async def first_time(self, session: Connection, consumer: str, event_id: uuid.UUID) -> bool:
        """See ``delivery.Inbox``."""
        # The one query protocol in which several statements are one round trip takes no
        # parameters. An id is no text; the consumer's name is the service's own.
        mark = _MARK.format(_quoted(consumer), event_id)
        if not session.is_in_transaction():
            mark = f"BEGIN; {mark}"
        with marking():
            done: str = await session.execute(mark)
        return done.endswith(" 1")

    async def first_times(
        self, session: Connection, consumer: str, event_ids: Sequence[uuid.UUID]
    ) -> set[uuid.UUID]:
        """See ``delivery.Inbox``."""
        if not session.is_in_transaction():
            await session.execute("BEGIN")
        with marking():
            return {row[0] for row in await session.fetch(_MARK_ALL, consumer, event_ids)}

    async def marked(self, consumer: str, event_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """See ``delivery.Inbox``."""
        async with self.transaction() as session:
            return {row[0] for row in await session.fetch(_MARKED, consumer, event_ids)}

    async def bury(self, letter: DeadLetter) -> bool:
        """See ``delivery.Inbox``."""
        async with self.transaction() as session:
            await session.execute("BEGIN")
            if letter.event_id is not None and not await self.first_time(
                session, letter.consumer, letter.event_id
            ):
                return False
            done: str = await session.execute(
                _BURY,
                new_uuid(),
                letter.consumer,
                letter.stream,
                letter.entry_id,
                letter.envelope,
                letter.reason,
                letter.deliveries,
            )
            return done.endswith(" 1")

    async def _connected(self) -> PoolProxiedConnection:
        if self._free:
            return self._free.pop()
        try:
            return await self._engine.raw_connection()
        except Exception as error:
            raise InboxUnavailableError(connection_failure(error)) from error

    def _drop(self, held: PoolProxiedConnection) -> None:
        connection: Any = held.driver_connection
        connection.terminate()
        held.invalidate()


async def _commit(connection: Connection) -> None:
    if await connection.execute("COMMIT") != "COMMIT":  # a handler has swallowed an error
        raise TransactionAbortedError


async def _rolled_back(held: PoolProxiedConnection) -> bool:
    """End what is open; whether the connection may be used again."""
    connection: Any = held.driver_connection
    try:
        # Also where none is known of: one may have begun in the statement that was given up.
        await connection.execute("ROLLBACK")
        return not connection.is_closed()
    except BaseException:  # noqa: BLE001 - the first error is the one that is raised
        return False


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
