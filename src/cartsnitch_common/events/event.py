"""An event as a handler receives it: a typed payload and what the envelope says."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from google.protobuf.message import Message

from cartsnitch_common.constants import EventType
from cartsnitch_common.errors import MalformedEnvelopeError
from cartsnitch_common.events.envelope import payload_of

if TYPE_CHECKING:
    from cartsnitch.event.v1 import Envelope

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TYPES: Final = {kind.value: kind for kind in EventType}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event[P: Message]:
    """One event that arrived. Its ``repr`` leaves the payload out.

    Attributes:
        payload: What happened.
        event_id: The event's id, the same on every delivery.
        type: Its type, which is the name of its channel.
        timestamp: When it was published, in UTC, by the publisher's clock.
        service: Who published it.
        key: What it is about; events of one type and key have an order.
        contract_version: The version of cartsnitch-common that made it; empty
            when an older service sent it.
        correlation_id: What it belongs to; None when nothing.
        causation_id: The event that it answers; None when none.
        traceparent: The publisher's W3C trace context; None when not traced.
    """

    payload: P = field(repr=False)
    event_id: uuid.UUID
    type: EventType
    timestamp: dt.datetime
    service: str
    key: str
    contract_version: str = ""
    correlation_id: str | None = None
    causation_id: uuid.UUID | None = None
    traceparent: str | None = None

    def __post_init__(self) -> None:
        """Refuse a time without a zone."""
        if self.timestamp.tzinfo is None:
            message = "a naive datetime is no instant"
            raise ValueError(message)


def event_from[P: Message](envelope: Envelope, kind: type[P]) -> Event[P]:
    """An envelope, as ``decode`` returned it, as an event of one payload.

    Raises:
        MalformedEnvelopeError: It carries another payload.
    """
    payload = payload_of(envelope)
    if not isinstance(payload, kind):
        raise MalformedEnvelopeError(f"{envelope.event_type} does not belong on this channel")
    time, causation_id = envelope.timestamp, envelope.causation_id
    # An optional text that is set is not empty.
    return Event(
        payload=payload,
        event_id=uuid.UUID(envelope.event_id),
        type=_TYPES[envelope.event_type],
        timestamp=_EPOCH + dt.timedelta(0, time.seconds, time.nanos // 1000),
        service=envelope.service,
        key=envelope.key,
        contract_version=envelope.contract_version,
        correlation_id=envelope.correlation_id or None,
        causation_id=uuid.UUID(causation_id) if causation_id else None,
        traceparent=envelope.traceparent or None,
    )
