"""The envelope's JSON form: the seed's structure, whatever the payload.

{"event_type": ..., "timestamp": ..., "service": ..., "payload": {...}}, and
beside these the rest of the envelope, all by their proto names.
"""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

from google.protobuf.json_format import SerializeToJsonError

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.contract import bindings, find_binding, from_json_value, to_json_value
from cartsnitch_common.errors import (
    InvalidFieldError,
    MalformedEnvelopeError,
    NotJsonError,
    UnknownEventTypeError,
)

MOST_ITEMS: Final = 1000
"""More elements in one list than any rule of the contract allows.

Checking the rules of a message takes microseconds, an empty message two bytes:
without this bound an envelope within its size limit keeps a reader busy for
a quarter of a minute.
"""

_PAYLOAD: Final = "payload"
_FIRST: Final = ("event_type", "timestamp", "service")
_BYTES_NAMESPACE: Final = uuid.UUID("5c3c2a0e-7f57-5b0a-9a53-3a1f0c1f6d5e")


def render(envelope: Envelope) -> str:
    """The JSON form on one line, the seed's fields first and the payload last.

    Raises:
        MalformedEnvelopeError: A time is out of range, which JSON cannot say.
    """
    try:
        value = to_json_value(envelope, proto_names=True)
    except (SerializeToJsonError, ValueError) as error:
        raise MalformedEnvelopeError("a time in it is out of range") from error
    payload = value.pop(envelope.WhichOneof(_PAYLOAD) or "", {})
    ordered = {name: value.pop(name) for name in _FIRST if name in value}
    return json.dumps({**ordered, **value, _PAYLOAD: payload}, ensure_ascii=False)


def read(data: bytes) -> Envelope:
    """Read the JSON form; the envelope's rules are not checked here.

    An older service sends only the seed's four fields. Its event then has an id
    made from the bytes, so that the same bytes are the same event, and the event
    type as its key.

    Raises:
        NotJsonError: The bytes are not JSON.
        InvalidFieldError: A field is unknown or holds what it may not.
    """
    value = _load(data)
    payload_fields = {binding.field for binding in bindings()}
    for name in value:
        if name in payload_fields:
            raise InvalidFieldError(name, f"must be named {_PAYLOAD}")
    payload = value.pop(_PAYLOAD, None)
    if not isinstance(payload, dict):
        raise InvalidFieldError(_PAYLOAD, "must be an object")
    for name, item in payload.items():
        if isinstance(item, list) and len(item) > MOST_ITEMS:
            raise InvalidFieldError(f"{_PAYLOAD}.{name}", "has too many elements")
    if value.get("event_id") is None:
        value["event_id"] = str(uuid.uuid5(_BYTES_NAMESPACE, data))
    if value.get("key") is None:
        value["key"] = value.get("event_type")
    envelope = from_json_value(Envelope, value)
    try:
        binding = find_binding(envelope.event_type)
    except UnknownEventTypeError:
        return envelope  # as from bytes: the payload is in no field of this version
    try:
        getattr(envelope, binding.field).CopyFrom(from_json_value(binding.payload, payload))
    except InvalidFieldError as error:
        path = f"{_PAYLOAD}.{error.field}" if error.field else _PAYLOAD
        raise InvalidFieldError(path, error.reason) from None
    return envelope


def _load(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        reason = f"{error.msg.lower()} in line {error.lineno}, column {error.colno}"
        raise NotJsonError(reason) from None
    except UnicodeDecodeError:
        raise NotJsonError("the text is not UTF-8") from None
    except RecursionError:
        raise NotJsonError("it is nested too deeply") from None
    except ValueError:
        raise NotJsonError("it holds a number of too many digits") from None
    if not isinstance(value, dict):
        raise NotJsonError("it is no object")
    return value


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJsonError("a name is given twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise NotJsonError(f"{name} is not a number that JSON knows")
