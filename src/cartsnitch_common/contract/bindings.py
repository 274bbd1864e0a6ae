"""Which payload travels on which channel, read from the options in ``event/v1``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory

from cartsnitch.event.v1 import Envelope
from cartsnitch.options.v1 import Service as ServiceNumber
from cartsnitch.options.v1 import event as event_option
from cartsnitch_common.constants import EventType, Service
from cartsnitch_common.errors import UnknownEventTypeError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_PAYLOAD: Final = "payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBinding:
    """What the contract says of one event.

    Attributes:
        event_type: The type, which is also the name of the pub/sub channel.
        payload: The class of the payload.
        field: The payload's field in the envelope.
        publishers: The services that may publish it.
    """

    event_type: EventType
    payload: type[Message]
    field: str
    publishers: frozenset[Service]

    @property
    def channel(self) -> str:
        """The Redis pub/sub channel."""
        return self.event_type.value

    @property
    def stream(self) -> str:
        """The Redis stream."""
        return stream_name(self.channel)


def stream_name(event_type: str) -> str:
    """The stream of an event type, also of one that this version does not know.

    The hash tag keeps it on one node of a cluster.
    """
    return f"{{{event_type}}}:stream"


@cache
def bindings() -> tuple[EventBinding, ...]:
    """Every event of the contract, in the order of the envelope's fields."""
    found = []
    for field in Envelope.DESCRIPTOR.oneofs_by_name[_PAYLOAD].fields:
        kind: Any = field.message_type
        option = kind.GetOptions().Extensions[event_option]
        publishers = {
            Service(ServiceNumber.Name(number).removeprefix("SERVICE_").lower())
            for number in option.publishers
        }
        found.append(
            EventBinding(
                event_type=EventType(option.channel),
                payload=message_factory.GetMessageClass(kind),
                field=field.name,
                publishers=frozenset(publishers),
            )
        )
    return tuple(found)


@cache
def _by_type() -> dict[str, EventBinding]:
    return {binding.event_type.value: binding for binding in bindings()}


@cache
def _by_payload() -> dict[str, EventBinding]:
    return {binding.payload.DESCRIPTOR.full_name: binding for binding in bindings()}


def find_binding(event_type: str) -> EventBinding:
    """The binding of an event type.

    Raises:
        UnknownEventTypeError: The contract of this version has no such event.
    """
    try:
        return _by_type()[event_type]
    except KeyError:
        raise UnknownEventTypeError(event_type) from None


def binding_of(payload: Message | type[Message]) -> EventBinding:
    """The binding of a payload or of its class.

    Raises:
        UnknownEventTypeError: The message is no payload of an event.
    """
    name = payload.DESCRIPTOR.full_name
    try:
        return _by_payload()[name]
    except KeyError:
        raise UnknownEventTypeError(name) from None
