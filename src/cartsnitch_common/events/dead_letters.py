"""Events that a consumer gave up on: listed, delivered once more, or dropped.

To redrive an event is to give it to the one consumer that gave up on it, again and with
one effect. The letter and the consumer's mark in the inbox are deleted in a transaction
in which the event is put on its stream anew. The order makes it safe:

* A consumer that reads the new entry early waits for the transaction, because marking
  the event waits for the deletion of the old mark. Only then it knows whether to handle it.
* If the transaction is rolled back, whatever the reason, letter and mark stay, and the
  entry is dropped as a duplicate. If it is committed, the entry is on the stream.

The entry is new, and not the old one claimed once more: an acknowledgement of the old one
that is still under way would take the event from the consumer for good. It names its group, so
that other groups pass it over. Plain pub/sub hears nothing.

A redriven event comes after later ones of its key, which were handled meanwhile.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from cartsnitch_common.contract.bindings import bindings
from cartsnitch_common.db.models.event import DeadLetter, InboxEvent
from cartsnitch_common.errors import EventError, NotFoundError, UnknownEventTypeError
from cartsnitch_common.events.client import redis_errors
from cartsnitch_common.events.envelope import decode
from cartsnitch_common.events.names import ENTRY_FIELD, GROUP_FIELD

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch.event.v1 import Envelope
    from cartsnitch_common.events.client import RedisClient


def select_letters(
    *,
    ids: Collection[uuid.UUID] = (),
    consumer: str | None = None,
    event_type: str | None = None,
) -> Select[DeadLetter]:
    """Dead letters, the oldest first.

    Args:
        ids: Only these; empty for all.
        consumer: Only those of a consumer.
        event_type: Only those of a channel, read from its stream.
    """
    statement = select(DeadLetter).order_by(DeadLetter.failed_at, DeadLetter.id)
    if ids:
        statement = statement.where(DeadLetter.id.in_(ids))
    if consumer is not None:
        statement = statement.where(DeadLetter.consumer == consumer)
    if event_type is not None:
        streams = [binding.stream for binding in bindings() if binding.event_type == event_type]
        statement = statement.where(DeadLetter.stream.in_(streams))
    return statement


async def find_letter(session: AsyncSession, letter_id: uuid.UUID) -> DeadLetter:
    """One dead letter.

    Raises:
        NotFoundError: There is none of this id.
    """
    letter = await session.get(DeadLetter, letter_id)
    if letter is None:
        raise NotFoundError("dead letter", "id")
    return letter


def envelope_of(letter: DeadLetter) -> Envelope | None:
    """The letter's event; None when its bytes are no envelope that this version reads."""
    try:
        return decode(letter.envelope)
    except EventError:
        return None


async def redrive(session: AsyncSession, redis: RedisClient, letter_id: uuid.UUID) -> None:
    """Give an event to the consumer that gave up on it once more; commit the session next.

    Args:
        session: Its transaction takes the letter away; nothing is committed here.
        redis: A client of ``async_redis`` that may write to streams, as the relay's does.
        letter_id: The dead letter.

    Raises:
        NotFoundError: It is none, or somebody else has just redriven or dropped it.
        EventError: The stream had lost the entry, or the event's type is of a newer
            version than this one: it could not be told which mark to take away.
        ServerUnavailableError: Redis did not take it: roll back. If it did take it, and
            the answer was lost, the consumer drops it.
    """
    letter = await session.get(DeadLetter, letter_id, with_for_update=True)
    if letter is None:
        raise NotFoundError("dead letter", "id")
    if not letter.envelope:
        raise EventError("the stream had lost the entry: replay the event from the log")
    event_id = _marked_id(letter)
    if event_id is not None:
        mark = (letter.consumer, event_id)
        await session.execute(
            delete(InboxEvent).where(InboxEvent.consumer == mark[0], InboxEvent.event_id == mark[1])
        )
    await session.execute(delete(DeadLetter).where(DeadLetter.id == letter.id))
    entry: dict[Any, Any] = {ENTRY_FIELD: letter.envelope, GROUP_FIELD: letter.consumer}
    with redis_errors():
        await redis.xadd(letter.stream, entry)


async def drop(session: AsyncSession, ids: Collection[uuid.UUID]) -> int:
    """Delete dead letters; commit the session next.

    The consumer's marks stay: a replay does not bring the events back.

    Returns:
        How many there were.
    """
    gone = await session.scalars(
        delete(DeadLetter).where(DeadLetter.id.in_(ids)).returning(DeadLetter.id)
    )
    return len(gone.all())


async def letter_ids(session: AsyncSession, wanted: Select[Any]) -> list[uuid.UUID]:
    """The ids of the letters that a statement of ``select_letters`` selects, in its order."""
    return list(await session.scalars(wanted.with_only_columns(DeadLetter.id)))


async def count_by_consumer(session: AsyncSession) -> dict[str, int]:
    """How many dead letters each consumer has that has any."""
    rows = await session.execute(
        select(DeadLetter.consumer, func.count().label("letters"))
        .group_by(DeadLetter.consumer)
        .order_by(DeadLetter.consumer)
    )
    return {row.consumer: row.letters for row in rows}


def _marked_id(letter: DeadLetter) -> uuid.UUID | None:
    """The event that was marked with the letter; None for bytes that are no event.

    Those were never marked, and an id in them may be that of a sound event.
    """
    try:
        return uuid.UUID(decode(letter.envelope).event_id)
    except UnknownEventTypeError:
        raise
    except EventError:
        return None
