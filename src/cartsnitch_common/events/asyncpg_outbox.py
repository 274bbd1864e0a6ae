"""The outbox for code that writes with asyncpg itself, at a fifth of the cost in Python."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy.dialects.postgresql import asyncpg as dialects

from cartsnitch_common.db.driver_errors import database_errors
from cartsnitch_common.events.outbox import outbox_insert, outbox_row
from cartsnitch_common.events.sealing import seal

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    import asyncpg
    from google.protobuf.message import Message

    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.envelope import EventContext


async def enqueue(
    connection: asyncpg.Connection[Any],
    payload: Message,
    *,
    service: Service | str,
    key: str,
    **context: Unpack[EventContext],
) -> uuid.UUID:
    """Write an event in the connection's transaction, as ``outbox.enqueue`` does in a session's.

        async with connection.transaction():
            await connection.execute("INSERT INTO price_history ...")
            await enqueue(connection, payload, service=Service.STICKERSHOCK, key=product_id)

    Outside a transaction the event is one of its own.

    Args:
        connection: A connection of asyncpg, such as an ``AsyncpgInbox`` gives a handler.
        payload: The payload, and so the event's type.
        service: The publisher; one that the contract allows this event.
        key: What the event is about; the payload's comment says which id that is.
        **context: See ``EventContext``.

    Returns:
        The event's id.

    Raises:
        EventError: The event is refused; see ``wrap``.
        InvalidFieldError: A rule of the contract is broken.
        DatabaseError: The database refuses the row, or cannot be used.
    """
    event = seal(payload, service=service, key=key, **context)
    row = outbox_row(event, key)
    statement, names = _statement()
    with database_errors():
        await connection.execute(statement, *[row[name] for name in names])
    event_id: uuid.UUID = row["event_id"]
    return event_id


@cache
def _statement() -> tuple[str, Sequence[str]]:
    """The statement of ``outbox.enqueue`` as asyncpg takes it, and its parameters' order."""
    dialect = dialects.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy has not annotated it
    compiled = outbox_insert().compile(dialect=dialect)
    return str(compiled), compiled.positiontup or ()
