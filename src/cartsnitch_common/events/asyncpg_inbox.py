"""The inbox for handlers that write with asyncpg itself, at a fifth of the cost in Python.

An event is three round trips: the transaction's begin with the mark, what the handler says,
and the commit. When another event is ready by then, the commit begins its transaction too,
and it is two. With SQLAlchemy's session (``inbox.SqlInbox``) it is more of both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import asyncpg

from cartsnitch_common.db.beginning import BEGIN_NEXT
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
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from sqlalchemy import PoolProxiedConnection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from cartsnitch_common.events.delivery import DeadLetter

type Connection = asyncpg.Connection[Any]

_UNKNOWN: Final = "the next event's mark failed behind a commit"

_ROLLBACK_PATIENCE: Final = 1.0
"""Unit: seconds. A server that hears of it ends a statement and its transaction at once."""

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
        self._connections = _Connections(engine)

    async def aclose(self) -> None:
        """Give the connections back, when no consumer uses the inbox any more."""
        self._connections.drop_free()

    def transaction(self) -> AbstractAsyncContextManager[Connection]:
        """See ``delivery.Inbox``."""
        if type(self).first_time is AsyncpgInbox.first_time:
            return _Chained(self._connections)
        return _Transaction(self._connections)  # a subclass has marks of its own

    async def first_time(self, session: Connection, consumer: str, event_id: uuid.UUID) -> bool:
        """See ``delivery.Inbox``."""
        # The one query protocol in which several statements are one round trip takes no
        # parameters. An id is no text; the consumer's name is the service's own.
        mark = _mark(consumer, event_id)
        made = self._connections.made.pop(session, None)
        if made is not None:
            if made[0] == mark:
                return made[1]
            await session.execute("ROLLBACK")  # of an inbox around this one, with its own marks
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


class _Connections:
    """The engine's connections that the inbox keeps."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._free: list[PoolProxiedConnection] = []
        self.made: dict[Connection, tuple[str, bool]] = {}
        """Marks with which a transaction was begun, and whether they were the first."""

    async def take(self) -> PoolProxiedConnection:
        if self._free:
            return self._free.pop()
        try:
            return await self._engine.raw_connection()
        except Exception as error:
            raise InboxUnavailableError(connection_failure(error)) from error

    def give(self, held: PoolProxiedConnection) -> None:
        self._free.append(held)

    def drop(self, held: PoolProxiedConnection) -> None:
        connection: Any = held.driver_connection
        self.made.pop(connection, None)
        connection.terminate()
        held.invalidate()

    def drop_free(self) -> None:
        while self._free:
            self.drop(self._free.pop())


class _Transaction:
    """A transaction that its first statement begins.

    No generator: the event loop keeps a list of those that are open, which costs more than
    all else that is done here.
    """

    __slots__ = ("_connections", "_held")

    def __init__(
        self, connections: _Connections, begun: PoolProxiedConnection | None = None
    ) -> None:
        self._connections = connections
        self._held: Any = begun

    async def __aenter__(self) -> Connection:
        if self._held is None:
            self._held = await self._connections.take()
        connection: Any = self._held.driver_connection
        return connection

    async def __aexit__(
        self, _kind: object, error: BaseException | None, _trace: object
    ) -> Literal[False]:
        if error is None:
            try:
                await self._commit()
            except BaseException as failure:
                await self._fail(failure)
                raise
        else:
            await self._fail(error)
        return False

    async def _commit(self) -> None:
        await _commit(self._held.driver_connection)
        self._connections.give(self._held)

    async def _fail(self, error: BaseException) -> None:
        """Roll back, and say so if the database is what failed."""
        if await _rolled_back(self._held):
            self._connections.give(self._held)
        else:
            self._connections.drop(self._held)
            # What has met one connection has mostly met the others. To find that out takes the
            # time of a statement for each, to connect anew takes milliseconds.
            self._connections.drop_free()
        ours = database_error(error, lost=isinstance(error, ConnectionError))
        if isinstance(ours, DatabaseUnavailableError) and ours.reason is not None:
            raise InboxUnavailableError(ours.reason) from error


class _Chained(_Transaction):
    """A transaction whose commit may begin the next; see ``delivery.Chained``."""

    __slots__ = ("_mark", "_next")

    def __init__(
        self, connections: _Connections, begun: PoolProxiedConnection | None = None
    ) -> None:
        super().__init__(connections, begun)
        self._mark: str | None = None
        self._next: _Chained | None = None

    def follow(self, consumer: str, event_id: uuid.UUID) -> None:
        self._mark = _mark(consumer, event_id)

    def following(self) -> _Chained | None:
        return self._next

    def drop(self) -> None:
        self._connections.drop(self._held)

    async def _commit(self) -> None:
        connection: Any = self._held.driver_connection
        if self._mark is None or not connection.is_in_transaction():
            await super()._commit()
            return
        try:
            done: str = await connection.execute(f"{BEGIN_NEXT}; {self._mark}")
        except asyncpg.InFailedSQLTransactionError as error:
            raise TransactionAbortedError from error
        except Exception as error:
            if connection.is_in_transaction():
                # Perhaps the next one, and then this one is committed. Its own mark tells,
                # when it is delivered again; the next one waits for its mark by itself.
                raise InboxUnavailableError(_UNKNOWN) from error
            raise
        self._connections.made[connection] = (self._mark, done.endswith(" 1"))
        self._next = _Chained(self._connections, self._held)


async def _commit(connection: Any) -> None:
    if not connection.is_in_transaction():
        await connection.execute("SELECT 1")  # whether it answers is all that was asked
    elif await connection.execute("COMMIT") != "COMMIT":  # a handler has swallowed an error
        raise TransactionAbortedError


async def _rolled_back(held: PoolProxiedConnection) -> bool:
    """End what is open; whether the connection may be used again."""
    connection: Any = held.driver_connection
    try:
        # Also where none is known of: one may have begun in the statement that was given up.
        await connection.execute("ROLLBACK", timeout=_ROLLBACK_PATIENCE)
        return not connection.is_closed()
    except BaseException:  # noqa: BLE001 - the first error is the one that is raised
        return False


def _mark(consumer: str, event_id: uuid.UUID) -> str:
    return _MARK.format(_quoted(consumer), event_id)


def _quoted(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"
