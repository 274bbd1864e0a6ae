"""An event out of the bytes that a stream carries: the other end of ``sealing``.

``event_from(decode(...))`` finds out what an envelope holds, asks every rule and reads it
again for the event. Who reads a stream knows which payload it wants: a function made for
that one asks the same rules and keeps what it has read. Whatever is not surely right goes
the long way, which judges it and words the error.
"""

from __future__ import annotations

import datetime as dt
import uuid
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.contract import binding_of
from cartsnitch_common.contract.accepting import Checks
from cartsnitch_common.contract.conditions import UnknownRuleError
from cartsnitch_common.contract.source import build_function
from cartsnitch_common.events.envelope import (
    JSON_START,
    MAX_SIZE,
    PAYLOAD,
    decode,
    require_fast_protobuf,
)
from cartsnitch_common.events.event import Event, event_from
from cartsnitch_common.events.json_form import MOST_ITEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from cartsnitch_common.contract import EventBinding

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_VALUES: Final = {
    "payload": "{payload}_",
    "event_id": "UUID(event_id_)",
    "type": "event_type",
    "timestamp": "epoch + timedelta(0, timestamp_seconds, timestamp_nanos // 1000)",
    "service": "service_",
    "key": "key_",
    "contract_version": "contract_version_",
    "correlation_id": "correlation_id_",
    "causation_id": "None if causation_id_ is None else UUID(causation_id_)",
    "traceparent": "traceparent_",
}
"""The fields of an event, of what a reader has read."""


def open_event[P: Message](data: bytes, kind: type[P]) -> Event[P]:
    """What ``event_from(decode(data), kind)`` returns, in two thirds of the time.

    Raises:
        EventError: As those two.
    """
    wanted: Any = kind
    if len(data) <= MAX_SIZE and data[:1] != JSON_START:
        try:
            event: Event[P] | None = _reader(wanted)(Envelope.FromString(data))
        except DecodeError:
            event = None
        if event is not None:
            return event
    return event_from(decode(data), kind)


@cache
def _reader(kind: Any) -> Callable[[Envelope], Event[Any] | None]:
    """A function that makes events of envelopes that surely keep every rule."""
    require_fast_protobuf()
    binding = binding_of(kind)
    checks = _Checks(binding)
    checks.lines.append(f"if message.event_type != {binding.channel!r}: return None")
    try:
        checks.ask_message("message", Envelope.DESCRIPTOR)
    except UnknownRuleError:
        return lambda _: None
    checks.lines.append(f"if {binding.field}_ is None: return None")
    checks.names |= {
        "new_event": partial(object.__new__, Event),
        "UUID": uuid.UUID,
        "epoch": _EPOCH,
        "event_type": binding.event_type,
        "timedelta": dt.timedelta,
    }
    # To call the class takes three times as long: being frozen, it looks up each of its slots.
    checks.lines.append("event = new_event()")
    for name, value in _VALUES.items():
        checks.names[f"set_{name}"] = getattr(Event, name).__set__
        checks.lines.append(f"set_{name}(event, {value.format(payload=binding.field)})")
    checks.lines.append("return event")
    return build_function(f"open_{binding.field}", "message", checks.lines, checks.names)


class _Checks(Checks):
    """The rules of an envelope with one kind of payload."""

    def __init__(self, binding: EventBinding) -> None:
        super().__init__(decline="return None")
        self._binding = binding

    def _ask_nested(self, message: str, field: Any, variables: dict[str, str]) -> None:
        oneof = field.containing_oneof
        if oneof is not None and oneof.name == PAYLOAD and field.name != self._binding.field:
            return  # it is unset where ours is set
        for part in field.message_type.fields:
            if part.is_repeated:  # as ``decode``, before anybody looks at the elements
                size = f"len({message}.{field.name}.{part.name})"
                self.lines.append(f"if {size} > {MOST_ITEMS}: return None")
        super()._ask_nested(message, field, variables)
