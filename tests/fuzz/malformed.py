"""Classes of malformed envelopes: one of each, with the error that it must end in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cartsnitch.event.v1 import Envelope, PricesUpdated
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.contract import bindings
from cartsnitch_common.errors import (
    EventTooLargeError,
    UnknownEventTypeError,
)
from cartsnitch_common.events import encode, to_json
from cartsnitch_common.events.envelope import MAX_SIZE
from cartsnitch_common.events.json_form import MOST_ITEMS
from tests.event_payloads import coupons, prices
from tests.fuzz.samples import envelopes, full
from tests.fuzz.wire import END_GROUP, GROUP, LENGTH, VARINT, number, tag, text, varint

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from cartsnitch_common.errors import EventError

PRICES = 17
OBSERVATIONS = PricesUpdated.DESCRIPTOR.fields_by_name["observations"].number


def changed(**values: Any) -> bytes:
    """A sound envelope with other values; None unsets one."""
    envelope = full(prices())
    for name, value in values.items():
        if value is None:
            envelope.ClearField(name)  # type: ignore[arg-type]
        else:
            setattr(envelope, name, value)
    return envelope.SerializeToString()


def changed_json(change: Callable[[dict[str, Any]], object]) -> bytes:
    value: dict[str, Any] = json.loads(to_json(full(prices())))
    change(value)
    return json.dumps(value).encode()


def with_time(seconds: int, nanos: int) -> bytes:
    envelope = full(prices())
    envelope.timestamp.seconds, envelope.timestamp.nanos = seconds, nanos
    return envelope.SerializeToString()


def with_price(units: int, nanos: int) -> bytes:
    envelope = full(prices())
    price = envelope.prices_updated.observations[0].regular_price
    price.units, price.nanos = units, nanos
    return envelope.SerializeToString()


def with_elements(count: int) -> bytes:
    """An envelope with many empty elements in its list: two bytes each."""
    head = changed(prices_updated=None)
    return head + text(PRICES, text(OBSERVATIONS, b"") * count)


def sound() -> bytes:
    return encode(full(prices()))


def malformed() -> dict[str, bytes]:
    """Every class, by a name; each is no envelope of the contract."""
    without = changed(prices_updated=None)
    return {
        "nothing": b"",
        "zeros": b"\0" * 64,
        "prose": b"Dear receiver, prices have changed.",
        "another message": PriceObservation(id="x").SerializeToString(),
        "field number 0": sound() + tag(0, VARINT) + b"\1",
        "wire type 6": sound() + tag(30, 6),
        "wire type 7": sound() + tag(30, 7),
        "a tag of six bytes": sound() + b"\xff" * 5 + b"\x7f",
        "a number that does not end": sound() + tag(30, VARINT) + b"\x80" * 20,
        "a length that is cut": sound() + tag(30, LENGTH) + b"\x80",
        "a length beyond the end": sound() + tag(30, LENGTH) + varint(1000),
        "a length of 2 GiB": sound() + tag(30, LENGTH) + varint(2**31),
        "a length of 16 EiB": sound() + tag(30, LENGTH) + varint(2**64 - 1),
        "a group that does not end": sound() + tag(30, GROUP),
        "an end without a group": sound() + tag(30, END_GROUP),
        "groups that cross": sound() + tag(30, GROUP) + tag(31, GROUP) + tag(30, END_GROUP),
        "groups too deep": sound() + tag(30, GROUP) * 50_000 + tag(30, END_GROUP) * 50_000,
        "a text that is not UTF-8": changed(key=None) + text(5, b"\xff\xfe"),
        "half a character": changed(key=None) + text(5, b"\xed\xa0\x80"),
        "a key with NUL": changed(key="a\0b"),
        "no key": changed(key=None),
        "a key too long": changed(key="k" * 129),
        "no id": changed(event_id=None),
        "an id that is none": changed(event_id="1 OR 1=1"),
        "an id in upper case": changed(event_id="018F3C5E-7B1A-7C2D-8E3F-0A1B2C3D4E5F"),
        "no event type": changed(event_type=None),
        "an event type with escapes": changed(event_type="cartsnitch.\x1b[2J"),
        "an event type of others": changed(event_type="example.prices.updated"),
        "the event type of another payload": changed(event_type="cartsnitch.coupons.updated"),
        "no service": changed(service=None),
        "a service with a space": changed(service="sticker shock"),
        "no time": changed(timestamp=None),
        "a time after 9999": with_time(253_402_300_800, 0),
        "a time before 1": with_time(-62_135_596_801, 0),
        "a time of negative nanos": with_time(0, -1),
        "nanoseconds": with_time(0, 1),
        "a trace context that is none": changed(traceparent="00-abc-def-01"),
        "an empty correlation": changed(correlation_id=""),
        "a version too long": changed(contract_version="1" * 33),
        "no payload": without,
        "a payload that is a number": without + number(PRICES, 5),
        "a payload of nonsense": without + text(PRICES, b"\xff" * 9),
        "an empty payload": without + text(PRICES, b""),
        "a second payload of another type": sound() + text(19, coupons().SerializeToString()),
        "a price of three decimals and a half": with_price(3, 499_950_001),
        "a price with two signs": with_price(3, -10_000_000),
        "a price beyond every number": with_price(2**63 - 1, 0),
        "one element more than any list has": with_elements(1001),
        "100,000 elements": with_elements(100_000),
        "JSON that is cut": to_json(full(prices())).encode()[:-1],
        "JSON with a tail": to_json(full(prices())).encode() + b"{}",
        "an object without anything": b"{}",
        "JSON too deep": b'{"a":' * 30_000,
        "JSON in UTF-16": b"{" + to_json(full(prices()))[1:].encode("utf-16-le"),
        "JSON with a name twice": b'{"service":"a","service":"b"}',
        "JSON with NaN": changed_json(lambda value: value.update(key=float("nan"))),
        "JSON with half a character": changed_json(lambda value: value.update(key="\ud800")),
        "JSON with half a character for an enum": changed_json(
            lambda value: value["payload"].update(store="\ud800")
        ),
        "JSON with a long number": b'{"key":' + b"9" * 10_000 + b"}",
        "JSON with a field too many": changed_json(lambda value: value.update(secret="x")),
        "JSON with a list for a payload": changed_json(lambda value: value.update(payload=[])),
        "JSON without a payload": changed_json(lambda value: value.pop("payload")),
        "JSON with the payload's own name": changed_json(
            lambda value: value.update(prices_updated=value.pop("payload"))
        ),
        "JSON with a number for a text": changed_json(lambda value: value.update(key=5)),
        "JSON with a float for money": changed_json(
            lambda value: value["payload"]["observations"][0].update(regular_price=3.49)
        ),
    }


def others() -> dict[str, tuple[bytes, type[EventError]]]:
    """Classes that end in another error than ``MalformedEnvelopeError``."""
    newer = changed(prices_updated=None, event_type="cartsnitch.baskets.compared")
    return {
        "a byte too many": (b"\0" * (MAX_SIZE + 1), EventTooLargeError),
        "1 MB of empty elements": (with_elements(500_000), EventTooLargeError),
        "1 MB of JSON": (b"{" + b" " * 2**20 + b"}", EventTooLargeError),
        "a type of a newer version": (newer + text(31, b"abc"), UnknownEventTypeError),
    }


def bombs() -> dict[str, bytes]:
    """As large as a channel carries, and as much work and memory as bytes can make."""
    room = MAX_SIZE - len(changed(prices_updated=None)) - 16
    inner = PriceObservation.DESCRIPTOR.fields_by_name["regular_price"].number
    return {
        "empty elements": with_elements(room // 2),
        "elements with an empty price": changed(prices_updated=None)
        + text(PRICES, text(OBSERVATIONS, text(inner, b"")) * (room // 4)),
        "one payload many times": changed(prices_updated=None) + text(PRICES, b"") * (room // 3),
        "unknown numbers": sound() + number(30, 1) * ((MAX_SIZE - 1000) // 3),
        "unknown groups": sound()
        + (tag(30, GROUP) + tag(30, END_GROUP)) * ((MAX_SIZE - 1000) // 4),
        "one long text": changed(prices_updated=None, key="k" * (MAX_SIZE - 1000)),
        "JSON: empty objects": _json_with(b"{},", room),
        "JSON: numbers": _json_with(b"1,", room),
        "JSON: names": b"{" + b",".join(b'"%d":1' % n for n in range(26_000)) + b"}",
        "JSON: lists in lists": b'{"payload":' + b"[" * (MAX_SIZE - 100),
        "JSON: escapes": b'{"key":"' + b"\\u0041" * ((MAX_SIZE - 100) // 6) + b'"}',
    }


def full_lists() -> dict[str, bytes]:
    """Lists as long as any may be, of which every element breaks every rule: 2 KB each."""
    found = {}
    for binding in bindings():
        for field in binding.payload.DESCRIPTOR.fields:
            if field.is_repeated:
                envelope = envelopes()[binding.event_type]
                envelope.ClearField(binding.field)  # type: ignore[arg-type]
                place = Envelope.DESCRIPTOR.fields_by_name[binding.field].number
                payload = text(field.number, b"") * MOST_ITEMS
                found[field.full_name] = envelope.SerializeToString() + text(place, payload)
    return found


def _json_with(element: bytes, room: int) -> bytes:
    head = b'{"event_type":"cartsnitch.prices.updated","payload":{"observations":['
    return head + (element * ((room - 100) // len(element)))[:-1] + b"]}}"
