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
from cartsnitch_common.contract.accepting import acceptance, text_acceptance
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
_MOST_FRAME: Final = 1024
"""More than the head of any envelope has beside its payload. Unit: bytes."""


class Sealed(NamedTuple):
    """An event that is ready to be published."""

    event_id: str
    event_type: str
    data: bytes


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
    (sealed,) = seal_all([(payload, key)], service, context)
    return sealed


def seal_all(
    events: Sequence[tuple[Message, str]], service: Service | str, context: EventContext
) -> list[Sealed]:
    """``seal`` for several events of one service, which were published at one time.

    Raises:
        EventError: An event is refused; see ``wrap``. A note says at which place.
        InvalidFieldError: A rule of the contract is broken; the same.
    """
    time = now().SerializeToString()
    traceparent = None if context else current_traceparent()
    if traceparent is not None:
        context = {"traceparent": traceparent}
    sealed: list[Sealed] = []
    for (payload, key), event_id in zip(events, new_uuid_texts(len(events)), strict=True):
        data = None if context else _fast(payload, service, key, event_id, time)
        if data is not None:
            sealed.append(data)
            continue
        try:
            envelope = wrap(payload, service=service, key=key, **context)
            sealed.append(Sealed(envelope.event_id, envelope.event_type, encode(envelope)))
        except CartsnitchError as error:
            error.add_note(f"event {len(sealed)} of {len(events)}; none of them is published")
            raise
    return sealed


def _fast(
    payload: Message, service: Service | str, key: str, event_id: str, time: bytes
) -> Sealed | None:
    """The event, if it surely keeps every rule."""
    kind: Any = type(payload)
    head = _head(kind, service)
    if head is None or not head.accepts_key(key) or not head.accepts(payload):
        return None
    body = payload.SerializeToString()
    if len(body) > MAX_SIZE - _MOST_FRAME:
        return None
    try:
        name = key.encode()
    except UnicodeEncodeError:
        return None
    parts = (
        _ID,
        event_id.encode(),
        head.event_type,
        _TIME,
        _size(len(time)),
        time,
        head.service,
        _KEY,
        _size(len(name)),
        name,
        head.version,
        head.payload,
        _size(len(body)),
        body,
    )
    return Sealed(event_id, head.channel, b"".join(parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """What all events of one type and service have in common."""

    channel: str
    event_type: bytes
    service: bytes
    version: bytes
    payload: bytes
    accepts: Callable[[Message], bool]
    accepts_key: Callable[[str], bool]


@lru_cache(maxsize=256)  # callers name the service
def _head(kind: Any, service: Service | str) -> _Head | None:
    """The head of an event; None where ``wrap`` has to judge."""
    require_fast_protobuf()
    accepts, accepts_key = acceptance(kind.DESCRIPTOR), text_acceptance(_FIELDS["key"])
    binding = binding_of(kind)
    if accepts is None or accepts_key is None or service not in binding.publishers:
        return None
    return _Head(
        channel=binding.channel,
        event_type=Envelope(event_type=binding.event_type).SerializeToString(),
        service=Envelope(service=str(service)).SerializeToString(),
        version=Envelope(contract_version=cartsnitch_common.__version__).SerializeToString(),
        payload=_tag(binding.field),
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
_KEY: Final = _tag("key")
