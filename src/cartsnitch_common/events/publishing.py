"""Plain publishing: to whoever listens now. Nothing is kept, and no stream is written.

Use ``outbox.enqueue`` for an event that must arrive or that tells of rows: it is
published when the rows are committed, and only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.errors import EventsNotPublishedError
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.sealing import seal, seal_all
from cartsnitch_common.events.sending import send, send_sync

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from google.protobuf.message import Message

    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.client import RedisClient, SyncRedisClient
    from cartsnitch_common.events.envelope import EventContext
    from cartsnitch_common.events.observe import Observer


class BatchContext(TypedDict, total=False):
    """What a publisher may say of all events of a batch; see ``EventContext``."""

    correlation_id: str | None
    causation_id: uuid.UUID | str | None
    traceparent: str | None


async def publish(
    redis: RedisClient,
    payload: Message,
    *,
    service: Service | str,
    key: str,
    observer: Observer = SILENT,
    **context: Unpack[EventContext],
) -> Envelope:
    """Publish an event to whoever listens now; nothing is kept, no stream is written.

    Args:
        redis: A client of ``async_redis``.
        payload: The payload, and so the channel.
        service: The publisher; one that the contract allows this event.
        key: What the event is about.
        observer: Is told of it.
        **context: See ``EventContext``.

    Returns:
        The envelope that was published.

    Raises:
        EventError: The event is refused; see ``wrap``.
        InvalidFieldError: A rule of the contract is broken.
        EventInDoubtError: Redis did not answer; the event may be out or not.
        ServerUnavailableError: Redis cannot be reached, or refuses; it is not out.
    """
    sealed = seal(payload, service=service, key=key, **context)
    (failure,) = await send(redis, [sealed], observer)
    if failure is not None:
        raise failure
    return Envelope.FromString(sealed.data)


def publish_sync(
    redis: SyncRedisClient,
    payload: Message,
    *,
    service: Service | str,
    key: str,
    observer: Observer = SILENT,
    **context: Unpack[EventContext],
) -> Envelope:
    """``publish`` for code without asyncio, with a client of ``sync_redis``."""
    sealed = seal(payload, service=service, key=key, **context)
    failure = send_sync(redis, sealed)
    if failure is not None:
        raise failure
    observer.published(sealed.event_type, 1)
    return Envelope.FromString(sealed.data)


async def publish_all(
    redis: RedisClient,
    events: Sequence[tuple[Message, str]],
    *,
    service: Service | str,
    observer: Observer = SILENT,
    **context: Unpack[BatchContext],
) -> list[str]:
    """Publish several events in one write; those of a channel arrive in this order.

    Args:
        redis: A client of ``async_redis``.
        events: Payloads and keys. More than 4 MiB together are more than one write.
        service: The publisher of all of them.
        observer: Is told of those that are published.
        **context: What is the same for all of them.

    Returns:
        The ids of the events, in their order.

    Raises:
        EventError: An event is refused; see ``wrap``. None is published then, and a
            note of the error says which it was.
        InvalidFieldError: A rule of the contract is broken; the same.
        EventsNotPublishedError: Redis did not take all; it says which, and why.
    """
    sealed = seal_all(events, service, cast("EventContext", context))
    failures = await send(redis, sealed, observer)
    event_ids = [event.event_id for event in sealed]
    failed = {place: failure for place, failure in enumerate(failures) if failure is not None}
    if failed:
        raise EventsNotPublishedError(failed, event_ids) from failed[min(failed)]
    return event_ids
