"""Events as the bytes that Redis carries, without an envelope's object between.

``encode(wrap(...))`` makes the envelope, copies the payload into it, asks every rule of
both and writes both; half of that is the same for every event of a service. Here the
head is written once, and what the package itself puts into it is not asked again.
Whatever is not surely right goes through ``wrap``, which judges it and words the error.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Unpack

import cartsnitch_common
from cartsnitch.event.v1 import Envelope
from cartsnitch_common.contract import binding_of
from cartsnitch_common.contract.accepting import text_acceptance
from cartsnitch_common.contract.accepting_bytes import bytes_acceptance
from cartsnitch_common.contract.scalars import now
from cartsnitch_common.errors import CartsnitchError
from cartsnitch_common.events.envelope import MAX_SIZE, encode, require_fast_protobuf, wrap
from cartsnitch_common.events.tracing import current_traceparent
from cartsnitch_common.values.ids import new_uuid_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.envelope import EventContext

_FIELDS: Final = Envelope.DESCRIPTOR.fields_by_name
_MOST_BODY: Final = MAX_SIZE - 1024
"""A payload that fits into any envelope: no head takes so much beside it. Unit: bytes."""


class Sealed(NamedTuple):
    """An event that is ready to be published."""

    event_id: str
    event_type: str
    data: bytes


type Draft = tuple[_Head, bytes, bytes] | Sealed
"""An event that keeps every rule and lacks its id and time: its head, key and payload.

Where ``wrap`` has made it, it is whole already. Its last part is nearly all of its size.
"""


def seal(
    payload: Message, *, service: Service | str, key: str, **context: Unpack[EventContext]
) -> Sealed:
    """An event's bytes; ``decode`` reads from them what ``wrap`` would have made.

    Args:
        payload: The payload of an event.
        service: The publisher; one that the contract allows this event.
        key: What the event is about.
        **context: See ``EventContext``. An event with any takes twice as long.

    Raises:
        EventError: The event is refused; see ``wrap``.
        InvalidFieldError: A rule of the contract is broken.
    """
    return _finished(draft(payload, service, key, traced(context)), new_uuid_texts(1)[0], _stamp())


def seal_all(
    events: Sequence[tuple[Message, str]], service: Service | str, context: EventContext
) -> list[Sealed]:
    """``seal`` for several events of one service, which were published at one time.

    Raises:
        EventError: An event is refused; see ``wrap``. A note says at which place.
        InvalidFieldError: A rule of the contract is broken; the same.
    """
    context, drafts = traced(context), []
    try:
        for payload, key in events:
            drafts.append(draft(payload, service, key, context))
    except CartsnitchError as error:
        error.add_note(f"event {len(drafts)} of {len(events)}; none of them is published")
        raise
    return finish(drafts)


def traced(context: EventContext) -> EventContext:
    """What a publisher says, and the span that it is in."""
    if context or (traceparent := current_traceparent()) is None:
        return context  # of one with any, ``wrap`` finds the span
    return {"traceparent": traceparent}


def draft(payload: Message, service: Service | str, key: str, context: EventContext) -> Draft:
    """Ask every rule of an event, and write what is known of it.

    Args:
        payload: The payload; whoever changes it afterwards does not change the event.
        service: The publisher.
        key: What the event is about.
        context: What ``traced`` returns.

    Raises:
        EventError: The event is refused; see ``wrap``.
        InvalidFieldError: A rule of the contract is broken.
    """
    if not context:
        kind: Any = type(payload)
        head = _head(kind, service)
        if head is not None and head.accepts_key(key):
            body = payload.SerializeToString()
            if len(body) <= _MOST_BODY and head.accepts(body):
                try:
                    return head, key.encode(), body
                except UnicodeEncodeError:
                    pass  # half a character, which ``wrap`` words
    envelope = wrap(payload, service=service, key=key, **context)
    return Sealed(envelope.event_id, envelope.event_type, encode(envelope))


def finish(drafts: Sequence[Draft]) -> list[Sealed]:
    """Events with their ids, in ascending order, and with the present time."""
    stamp = _stamp()
    event_ids = new_uuid_texts(len(drafts))
    return [_finished(*each, stamp) for each in zip(drafts, event_ids, strict=True)]


def _finished(event: Draft, event_id: str, stamp: bytes) -> Sealed:
    if isinstance(event, Sealed):
        return event
    head, key, body = event
    parts = (
        _ID,
        event_id.encode(),
        head.event_type,
        stamp,
        head.service,
        _size(len(key)),
        key,
        head.version,
        _size(len(body)),
        body,
    )
    # Not by its class, whose ``__new__`` is a function in Python.
    return tuple.__new__(Sealed, (event_id, head.channel, b"".join(parts)))


def _stamp() -> bytes:
    """The present time as an envelope's field."""
    time = now().SerializeToString()
    return _TIME + _size(len(time)) + time


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What all events of one type and service have in common."""

    channel: str
    event_type: bytes
    service: bytes
    """And the tag of the key, which comes next."""
    version: bytes
    """And the tag of the payload."""
    accepts: Callable[[bytes], bool]
    accepts_key: Callable[[str], bool]


@lru_cache(maxsize=256)  # callers name the service
def _head(kind: Any, service: Service | str) -> _Head | None:
    """The head of an event; None where ``wrap`` has to judge."""
    require_fast_protobuf()
    accepts, accepts_key = bytes_acceptance(kind.DESCRIPTOR), text_acceptance(_FIELDS["key"])
    binding = binding_of(kind)
    version = Envelope(contract_version=cartsnitch_common.__version__)
    if accepts is None or accepts_key is None or service not in binding.publishers:
        return None
    return _Head(
        channel=binding.channel,
        event_type=Envelope(event_type=binding.event_type).SerializeToString(),
        service=Envelope(service=str(service)).SerializeToString() + _tag("key"),
        version=version.SerializeToString() + _tag(binding.field),
        accepts=accepts,
        accepts_key=accepts_key,
    )


def _tag(field: str) -> bytes:
    """What stands before a field that has a size."""
    return _size(_FIELDS[field].number << 3 | 2)


@lru_cache(maxsize=4096)
def _size(number: int) -> bytes:
    """A number as a varint. Source: protobuf.dev, Encoding."""
    digits = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits a byte
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


_ID: Final = _tag("event_id") + _size(36)
_TIME: Final = _tag("timestamp")
