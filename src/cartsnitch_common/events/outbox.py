"""Events written in the transaction that they tell of, to be relayed once it is committed."""

from __future__ import annotations

import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypedDict, Unpack, cast

from sqlalchemy import ARRAY, Integer, Table, bindparam, func, insert, select

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.db.models.event import OutboxEvent
from cartsnitch_common.events.names import key_lock
from cartsnitch_common.events.sealing import seal, seal_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from google.protobuf.message import Message
    from sqlalchemy import Insert, TableValuedAlias
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session
    from sqlalchemy.types import TypeEngine

    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.envelope import EventContext
    from cartsnitch_common.events.sealing import Sealed

_COLUMNS: Final = ("event_id", "event_type", "key", "envelope")


class SharedContext(TypedDict, total=False):
    """What a publisher may say of several events at once; see ``EventContext``."""

    correlation_id: str | None
    causation_id: uuid.UUID | str | None
    traceparent: str | None


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
    sealed = seal(payload, service=service, key=key, **context)
    await session.execute(outbox_insert(), outbox_row(sealed, key))
    return Envelope.FromString(sealed.data)


def enqueue_sync(
    session: Session,
    payload: Message,
    *,
    service: Service | str,
    key: str,
    **context: Unpack[EventContext],
) -> Envelope:
    """``enqueue`` for code without asyncio."""
    sealed = seal(payload, service=service, key=key, **context)
    session.execute(outbox_insert(), outbox_row(sealed, key))
    return Envelope.FromString(sealed.data)


async def enqueue_all(
    session: AsyncSession,
    events: Sequence[tuple[Message, str]],
    *,
    service: Service | str,
    **context: Unpack[SharedContext],
) -> list[Envelope]:
    """Write several events in one statement, each as ``enqueue`` does.

    The locks of their keys are taken in a fixed order, so that two transactions that
    enqueue for the same keys in this way do not wait for each other in a circle.

    Args:
        session: A session on PostgreSQL.
        events: Payloads and keys. Events of one type and key arrive in this order.
        service: The publisher of all of them.
        **context: What is the same for all of them; see ``EventContext``.

    Returns:
        The envelopes, in the order of the events.

    Raises:
        EventError: An event is refused; see ``wrap``. None is written then.
        InvalidFieldError: A rule of the contract is broken.
    """
    sealed = seal_all(events, service, cast("EventContext", context))
    if sealed:
        await session.execute(_insert_all(), _columns(sealed, events))
    return [Envelope.FromString(each.data) for each in sealed]


def enqueue_all_sync(
    session: Session,
    events: Sequence[tuple[Message, str]],
    *,
    service: Service | str,
    **context: Unpack[SharedContext],
) -> list[Envelope]:
    """``enqueue_all`` for code without asyncio."""
    sealed = seal_all(events, service, cast("EventContext", context))
    if sealed:
        session.execute(_insert_all(), _columns(sealed, events))
    return [Envelope.FromString(each.data) for each in sealed]


def columns_of(
    events: Sequence[tuple[Message, str]],
    *,
    service: Service | str,
    **context: Unpack[SharedContext],
) -> dict[str, list[Any]]:
    """The columns of several events, for a statement that writes more than them.

    That one takes the locks, in the order of ``lock_spaces`` and ``lock_numbers``, before it
    draws the rows' ids, and these in the order of the events; see ``enqueue``. Arguments and
    errors are those of ``enqueue_all``.
    """
    return _columns(seal_all(events, service, cast("EventContext", context)), events)


def _columns(
    sealed: Sequence[Sealed], events: Sequence[tuple[Message, str]]
) -> dict[str, list[Any]]:
    """The parameters of ``_insert_all``; the locks in one order for everybody."""
    rows = [outbox_row(event, key) for event, (_, key) in zip(sealed, events, strict=True)]
    locks = sorted({(row["lock_space"], row["lock_number"]) for row in rows})
    parameters = {name: [row[name] for row in rows] for name in _COLUMNS}
    parameters["lock_spaces"] = [space for space, _ in locks]
    parameters["lock_numbers"] = [number for _, number in locks]
    return parameters


def outbox_row(event: Sealed, key: str) -> dict[str, Any]:
    """The parameters of ``outbox_insert``: the key's lock, and the columns."""
    space, number = key_lock(event.event_type, key)
    return {
        "lock_space": space,
        "lock_number": number,
        "event_id": uuid.UUID(event.event_id),
        "event_type": event.event_type,
        "key": key,
        "envelope": event.data,
    }


@cache
def outbox_insert() -> Insert:
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


@cache
def _insert_all() -> Insert:
    """``outbox_insert`` for many: no row is read before the last lock is held, as they are counted.

    The rows' ids are drawn in the order of the arrays: a sort stands below them.
    """
    table = cast("Table", OutboxEvent.__table__)
    locks = _unnested("lock", {"lock_spaces": Integer(), "lock_numbers": Integer()})
    held = (
        select(func.pg_advisory_xact_lock(locks.c.lock_spaces, locks.c.lock_numbers))
        .select_from(locks)
        .cte("held")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    rows = _unnested("row", {name: table.c[name].type for name in _COLUMNS})
    ordered = (
        select(*(rows.c[name] for name in _COLUMNS))
        .where(select(func.count()).select_from(held).scalar_subquery() > 0)
        .order_by(rows.c.place)
    )
    return insert(table).from_select(_COLUMNS, ordered)


def _unnested(name: str, types: dict[str, TypeEngine[Any]]) -> TableValuedAlias:
    """Parameters that hold a column each, as the rows of a table."""
    arrays = (bindparam(column, type_=ARRAY(kind)) for column, kind in types.items())
    return (
        func.unnest(*arrays)
        .table_valued(*types, with_ordinality="place", name=name)
        .render_derived()
    )
