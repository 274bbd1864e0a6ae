"""Events written in the transaction that they tell of, to be relayed once it is committed."""

from __future__ import annotations

import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Unpack, cast

from sqlalchemy import Integer, Table, bindparam, func, insert, select

from cartsnitch_common.db.models.event import OutboxEvent
from cartsnitch_common.events.envelope import encode, wrap
from cartsnitch_common.events.names import key_lock

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from sqlalchemy import Insert
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from cartsnitch.event.v1 import Envelope
    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.envelope import EventContext

_COLUMNS: Final = ("event_id", "event_type", "key", "envelope")


async def enqueue(
    session: AsyncSession,
    payload: Message,
    *,
    service: Service | str,
    key: str,
    **context: Unpack[EventContext],
) -> Envelope:
    """Write an event in the session's transaction; the relay publishes it after the commit.

    Nothing is committed here: with a rollback the event was never there. Events of
    one type and key arrive in the order in which their transactions commit, for
    which the transaction holds the key's advisory lock from here to its end: another
    transaction that enqueues for the same type and key waits. A transaction that
    enqueues for several keys should take them in a fixed order, sorted say, or
    two of them may each wait for the other until PostgreSQL ends one.

    Args:
        session: A session on PostgreSQL.
        payload: The payload, and so the event's type.
        service: The publisher; one that the contract allows this event.
        key: What the event is about; the payload's comment says which id that is.
        **context: See ``EventContext``.

    Returns:
        The envelope as it will be published.

    Raises:
        EventError: The event is refused; see ``wrap``.
        InvalidFieldError: A rule of the contract is broken.
    """
    envelope = wrap(payload, service=service, key=key, **context)
    await session.execute(_insert(), _parameters(envelope))
    return envelope


def enqueue_sync(
    session: Session,
    payload: Message,
    *,
    service: Service | str,
    key: str,
    **context: Unpack[EventContext],
) -> Envelope:
    """``enqueue`` for code without asyncio."""
    envelope = wrap(payload, service=service, key=key, **context)
    session.execute(_insert(), _parameters(envelope))
    return envelope


def _parameters(envelope: Envelope) -> dict[str, Any]:
    space, number = key_lock(envelope.event_type, envelope.key)
    return {
        "lock_space": space,
        "lock_number": number,
        "event_id": uuid.UUID(envelope.event_id),
        "event_type": envelope.event_type,
        "key": envelope.key,
        "envelope": encode(envelope),
    }


@cache
def _insert() -> Insert:
    """Take the lock and insert, in one round trip.

    The row's id must be drawn when the lock is held, or a transaction that waits
    would come back with an id from before its wait. It is: the id is computed for
    the rows that the scan of ``held`` returns, and the scan returns its one row when
    the function in it has returned. A CTE that is MATERIALIZED is never merged
    into the query around it, by PostgreSQL's documentation.
    """
    table = cast("Table", OutboxEvent.__table__)
    held = (
        select(
            func.pg_advisory_xact_lock(
                bindparam("lock_space", type_=Integer), bindparam("lock_number", type_=Integer)
            )
        )
        .cte("held")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    values = (bindparam(name, type_=table.c[name].type).label(name) for name in _COLUMNS)
    return insert(table).from_select(_COLUMNS, select(*values).select_from(held))
