"""Envelopes: made around a payload, as bytes, and read back.

What is read came over a network from any version of any service, or from
somebody else: every check is made before the contents are believed, and
whatever the bytes are, only errors of this package come out.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError

import cartsnitch_common
from cartsnitch.event.v1 import Envelope
from cartsnitch_common.contract import binding_of, bindings, check, find_binding
from cartsnitch_common.contract.accepting import acceptance
from cartsnitch_common.contract.scalars import now, to_timestamp
from cartsnitch_common.errors import (
    EventTooLargeError,
    InputError,
    InvalidFieldError,
    MalformedEnvelopeError,
    NotAPublisherError,
    SetupError,
    UnknownEventTypeError,
)
from cartsnitch_common.events import json_form
from cartsnitch_common.events.texts import one_line
from cartsnitch_common.events.tracing import current_traceparent
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    import uuid

    from google.protobuf.message import Message

    from cartsnitch_common.constants import Service
    from cartsnitch_common.contract import EventBinding

MAX_SIZE: Final = 256 * 1024
"""The largest envelope, in either form. Unit: bytes."""

PAYLOAD: Final = "payload"
"""The name of what holds the payload, whatever the event."""
# As a tag of protobuf this byte opens a group in field 15; an envelope has neither.
JSON_START: Final = b"{"


class EventContext(TypedDict, total=False):
    """What a publisher may say of an event beside its payload, service and key."""

    correlation_id: str | None
    """What the event belongs to, such as one sync of an account."""
    causation_id: uuid.UUID | str | None
    """The event that this one answers."""
    traceparent: str | None
    """The publisher's W3C trace context; by default that of OpenTelemetry's current span."""
    event_id: uuid.UUID | str | None
    """Its id; by default a new UUIDv7."""
    timestamp: dt.datetime | None
    """When it was published, with a zone; by default now."""


def wrap(
    payload: Message, *, service: Service | str, key: str, **context: Unpack[EventContext]
) -> Envelope:
    """Put a payload into a new envelope.

    Args:
        payload: The payload of an event, such as ``PricesUpdated``; it is copied.
        service: The publisher; one that the contract allows this event.
        key: What the event is about; the payload's comment says which id that is.
        **context: What else is to be said; see ``EventContext``.

    Raises:
        UnknownEventTypeError: The message is no payload of an event.
        NotAPublisherError: The contract leaves this event to other services.
        InvalidFieldError: A rule of the contract is broken.
        EventTooLargeError: It is larger than a channel carries.
    """
    binding = binding_of(payload)
    if service not in binding.publishers:
        allowed = sorted(binding.publishers)
        raise NotAPublisherError(
            service=str(service), event_type=binding.event_type, publishers=list(allowed)
        )
    _check_size(payload.ByteSize())
    causation_id, timestamp = context.get("causation_id"), context.get("timestamp")
    try:
        envelope = Envelope(
            event_id=str(context.get("event_id") or new_uuid()),
            event_type=binding.event_type,
            timestamp=now() if timestamp is None else to_timestamp(timestamp),
            service=str(service),
            key=key,
            contract_version=cartsnitch_common.__version__,
            correlation_id=context.get("correlation_id"),
            causation_id=None if causation_id is None else str(causation_id),
            traceparent=context.get("traceparent") or current_traceparent(),
        )
    except UnicodeEncodeError:
        raise InvalidFieldError("", "a text holds half a character") from None
    except ValueError as error:
        raise InvalidFieldError("timestamp", str(error)) from None
    getattr(envelope, binding.field).CopyFrom(payload)
    check(envelope)
    return envelope


def encode(envelope: Envelope) -> bytes:
    """The bytes that Redis carries.

    Raises:
        EventTooLargeError: There are more than 256 KiB of them.
    """
    require_fast_protobuf()
    _check_size(envelope.ByteSize())
    data = envelope.SerializeToString()
    _check_size(len(data))
    return data


def decode(data: bytes) -> Envelope:
    """Read an envelope from its bytes or, as older services send it, from JSON.

    Raises:
        EventTooLargeError: There are more than 256 KiB.
        MalformedEnvelopeError: The bytes are no envelope, its payload is not the
            one that its event type has, or a rule of the contract is broken.
        UnknownEventTypeError: The envelope is sound, its event type is none of
            this version. Skip it and count it.
    """
    require_fast_protobuf()
    _check_size(len(data))
    if data[:1] == JSON_START:
        return _from_json(data)
    try:
        envelope = Envelope.FromString(data)
    except DecodeError as error:
        raise MalformedEnvelopeError("the bytes are no protobuf message of this shape") from error
    if not _is_right(envelope):
        _check_envelope(envelope)
    return envelope


def payload_of(envelope: Envelope) -> Message:
    """The payload of an envelope.

    Raises:
        MalformedEnvelopeError: It has none.
    """
    field = envelope.WhichOneof(PAYLOAD)
    if field is None:
        raise MalformedEnvelopeError("the envelope has no payload")
    payload: Message = getattr(envelope, field)
    return payload


def to_json(envelope: Envelope) -> str:
    """The JSON form on one line: the seed's structure, and the rest beside it.

    Raises:
        MalformedEnvelopeError: A time in it is out of range.
    """
    return json_form.render(envelope)


def from_json(text: str | bytes) -> Envelope:
    """Read an envelope from its JSON form.

    Raises:
        EventTooLargeError: There are more than 256 KiB.
        MalformedEnvelopeError: The text is no envelope, or breaks a rule.
        UnknownEventTypeError: The event type is none of this version.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError as error:
        raise MalformedEnvelopeError("the text holds half a character") from error
    _check_size(len(data))
    return _from_json(data)


def _from_json(data: bytes) -> Envelope:
    try:
        envelope = json_form.read(data)
    except InputError as error:
        raise MalformedEnvelopeError(one_line(str(error))) from error
    _check_envelope(envelope)
    return envelope


def _is_right(envelope: Envelope) -> bool:
    """Whether an envelope surely passes ``_check_envelope``, found out in a third of the time."""
    accepts = acceptance(Envelope.DESCRIPTOR)
    lists = _lists().get(envelope.event_type)
    if accepts is None or lists is None:
        return False
    field, names = lists
    if envelope.WhichOneof(PAYLOAD) != field:
        return False
    payload = getattr(envelope, field)
    for name in names:
        if len(getattr(payload, name)) > json_form.MOST_ITEMS:
            return False
    return accepts(envelope)


@cache
def _lists() -> dict[str, tuple[str, list[str]]]:
    """For each event type, the payload's field and the names of the payload's lists."""
    return {
        binding.channel: (
            binding.field,
            [field.name for field in binding.payload.DESCRIPTOR.fields if field.is_repeated],
        )
        for binding in bindings()
    }


def _check_envelope(envelope: Envelope) -> None:
    """Hold a decoded envelope against the contract, the cheap checks first."""
    try:
        binding = find_binding(envelope.event_type)
    except UnknownEventTypeError:
        # Its payload is in a field that is not known here; the rest can be checked,
        # and must be before anyone quotes the event type.
        _check_payload(envelope, None)
        _check_rules(envelope)
        raise
    _check_payload(envelope, binding)
    _check_rules(envelope)


def _check_payload(envelope: Envelope, binding: EventBinding | None) -> None:
    if envelope.WhichOneof(PAYLOAD) != (binding.field if binding else None):
        raise MalformedEnvelopeError("the payload is not the one that its event type has")
    if binding is None:
        return
    payload = payload_of(envelope)
    for name in _lists()[binding.channel][1]:
        if len(getattr(payload, name)) > json_form.MOST_ITEMS:
            raise MalformedEnvelopeError(f"{binding.field}.{name} has too many elements")


def _check_rules(envelope: Envelope) -> None:
    try:
        # An older reader meets a newer writer's enum values; what it stores is checked again.
        check(envelope, unknown_enums=True)
        envelope.timestamp.ToDatetime(tzinfo=dt.UTC)
    except InvalidFieldError as error:
        raise MalformedEnvelopeError(one_line(str(error))) from error
    except ValueError as error:
        raise MalformedEnvelopeError("timestamp: is out of range") from error


def _check_size(size: int) -> None:
    if size > MAX_SIZE:
        raise EventTooLargeError(size=size, limit=MAX_SIZE)


@cache
def require_fast_protobuf() -> None:
    """Make sure of the C runtime: the one in Python decodes a hundred times slower.

    Raises:
        SetupError: It is not there.
    """
    if api_implementation.Type() != "upb":
        raise SetupError("protobuf runs without its C runtime (upb): reinstall it from a wheel")
