"""The inbox in PostgreSQL: the mark that an event is handled lies beside its effect.

Handler and mark are one transaction, so an event that is delivered again, by
whatever failed between commit and acknowledgement, has no second effect.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
from sqlalchemy import ARRAY, Table, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cartsnitch_common.db.driver_errors import database_error
from cartsnitch_common.db.failures import connection_failure
from cartsnitch_common.db.models.event import DeadLetter as DeadLetterRow
from cartsnitch_common.db.models.event import InboxEvent
from cartsnitch_common.errors import DatabaseUnavailableError, InboxUnavailableError
from cartsnitch_common.events.marking import marking

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy import Insert
    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    from cartsnitch_common.events.delivery import DeadLetter

_CONNECT_ERRORS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, PoolTimeoutError)


async def handle_once(session: AsyncSession, consumer: str, event_id: uuid.UUID) -> bool:
    """Mark an event as handled by a consumer, in the session's transaction.

    A second transaction that marks the same event waits for the end of the first.

    Returns:
        Whether it was not marked before. When False, leave the effect out.
    """
    marked = await session.scalar(_mark(), {"consumer": consumer, "event_id": event_id})
    return marked is not None


async def record_dead_letter(session: AsyncSession, letter: DeadLetter) -> bool:
    """Record a dead letter, and its event as handled, in the session's transaction.

    Returns:
        False, and nothing is recorded, when the event was handled already or the
        entry is a dead letter already.
    """
    if letter.event_id is not None and not await handle_once(
        session, letter.consumer, letter.event_id
    ):
        return False
    row = {
        "consumer": letter.consumer,
        "stream": letter.stream,
        "entry_id": letter.entry_id,
        "envelope": letter.envelope,
        "reason": letter.reason,
        "deliveries": letter.deliveries,
    }
    statement = insert(DeadLetterRow).values(row).on_conflict_do_nothing()
    return await session.scalar(statement.returning(DeadLetterRow.id)) is not None


class SqlInbox:
    """The inbox of a consumer whose handlers write to PostgreSQL with SQLAlchemy.

    consumer = Consumer(redis, SqlInbox(sessions), group="stickershock")

    @consumer.on(PricesUpdated)
    async def detect(event: Event[PricesUpdated], session: AsyncSession) -> None: ...

    await consumer.run(stop)
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        """Take the maker of the sessions; nothing is opened before it is used.

        Args:
            sessions: Makes the sessions that handlers get. Each is one transaction,
                which the consumer commits, and the handler must not.
        """
        self._sessions = sessions

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """See ``delivery.Inbox``."""
        try:
            async with self._sessions() as session, session.begin():
                await _connect(session)
                yield session
        except (DBAPIError, DatabaseUnavailableError) as error:
            reason = _outage(error)
            if reason is None:
                raise
            raise InboxUnavailableError(reason) from error

    async def first_time(self, session: AsyncSession, consumer: str, event_id: uuid.UUID) -> bool:
        """See ``delivery.Inbox``."""
        with marking():
            return await handle_once(session, consumer, event_id)

    async def first_times(
        self, session: AsyncSession, consumer: str, event_ids: Sequence[uuid.UUID]
    ) -> set[uuid.UUID]:
        """See ``delivery.Inbox``."""
        marks = {"consumer": consumer, "event_ids": [*event_ids]}
        with marking():
            return set(await session.scalars(_mark_all(), marks))

    async def marked(self, consumer: str, event_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """See ``delivery.Inbox``."""
        statement = select(InboxEvent.event_id).where(
            InboxEvent.consumer == consumer, InboxEvent.event_id.in_(event_ids)
        )
        async with self.transaction() as session:
            return set(await session.scalars(statement))

    async def bury(self, letter: DeadLetter) -> bool:
        """See ``delivery.Inbox``."""
        async with self.transaction() as session:
            with marking():
                return await record_dead_letter(session, letter)


async def _connect(session: AsyncSession) -> None:
    """Connect now, so that an outage shows here and not in a handler."""
    try:
        await session.connection()
    except _CONNECT_ERRORS as error:
        raise InboxUnavailableError(connection_failure(error)) from error


def _outage(error: DBAPIError | DatabaseUnavailableError) -> str | None:
    """Why the error says nothing against the handler; None when it might.

    One without a reason came over the wire: it tells of another service's database.
    """
    ours = database_error(error) if isinstance(error, DBAPIError) else error
    return ours.reason if isinstance(ours, DatabaseUnavailableError) else None


@cache
def _mark() -> Insert:
    table = cast("Table", InboxEvent.__table__)
    values: dict[str, Any] = {
        name: bindparam(name, type_=table.c[name].type) for name in ("consumer", "event_id")
    }
    statement: Insert = (
        insert(table).values(values).on_conflict_do_nothing().returning(table.c.event_id)
    )
    return statement


@cache
def _mark_all() -> Insert:
    table = cast("Table", InboxEvent.__table__)
    ids = bindparam("event_ids", type_=ARRAY(table.c.event_id.type))
    consumer = bindparam("consumer", type_=table.c.consumer.type)
    marks = select(consumer, func.unnest(ids))
    statement: Insert = (
        insert(table)
        .from_select(["consumer", "event_id"], marks)
        .on_conflict_do_nothing()
        .returning(table.c.event_id)
    )
    return statement
