from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.event.v1 import CouponsUpdated, Envelope, PricesUpdated
from cartsnitch_common.contract import bindings
from cartsnitch_common.errors import CartsnitchError
from cartsnitch_common.events import Event, decode, encode, event_from, opening, to_json, wrap
from cartsnitch_common.events.opening import open_event
from tests.event_payloads import prices

if TYPE_CHECKING:
    from google.protobuf.message import Message

GOOD = encode(wrap(prices(), service="stickershock", key="k"))
FULL = encode(
    wrap(
        prices(),
        service="stickershock",
        key="Ä" * 128,
        correlation_id="sync-1",
        causation_id="018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e60",
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    )
)
GROUP = b"{\x0a\x00|"
"""A field in a group, as no envelope has it; its first byte is that of the JSON form."""


def outcome(read: Any, *args: Any) -> object:
    """What comes of a call, an error's class and text among it."""
    try:
        return read(*args)
    except CartsnitchError as error:
        return type(error), str(error)


def same(data: bytes, kind: type[Message]) -> None:
    """Make sure that both ways to read bytes end alike."""
    long_way = outcome(lambda: event_from(decode(data), kind))
    assert outcome(open_event, data, kind) == long_way


@pytest.mark.parametrize("data", [GOOD, FULL], ids=["plain", "full"])
def test_a_right_event_goes_the_short_way(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same event, and nothing is asked twice."""
    event = event_from(decode(data), PricesUpdated)
    monkeypatch.setattr(opening, "decode", None)
    assert open_event(data, PricesUpdated) == event


def test_an_event_is_whole() -> None:
    """The short way fills every field that an event has."""
    assert opening._VALUES.keys() == Event.__dataclass_fields__.keys()


def test_every_event_of_the_contract_has_a_short_way() -> None:
    """No rule of a payload is unknown to it."""
    for binding in bindings():
        assert opening._reader(binding.payload).__name__ == f"open_{binding.field}"


@pytest.mark.parametrize(
    "data",
    [
        to_json(decode(GOOD)).encode(),
        b"",
        b"\xff",
        b"{",
        GROUP + GOOD,
        GOOD + GROUP[1:],
        GOOD + b"\x00" * 300_000,
        encode(Envelope()),
        Envelope(event_type="cartsnitch.unknown").SerializeToString(),
    ],
)
def test_what_is_not_surely_right_ends_as_the_long_way_does(data: bytes) -> None:
    """The other form, broken bytes, too many of them, and types that nobody knows."""
    same(data, PricesUpdated)
    same(data, CouponsUpdated)


def test_another_payload_than_the_stream_has_is_refused() -> None:
    """By its class, and by its type where the two do not belong together."""
    same(GOOD, CouponsUpdated)
    envelope = decode(GOOD)
    envelope.event_type = "cartsnitch.coupons.updated"
    same(envelope.SerializeToString(), PricesUpdated)
    same(envelope.SerializeToString(), CouponsUpdated)


@given(
    st.sampled_from([GOOD, FULL]),
    st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), min_size=1, max_size=3),
)
def test_changed_bytes_end_as_the_long_way_does(
    data: bytes, changes: list[tuple[int, bytes]]
) -> None:
    """Whatever is broken in an envelope: the same event, or the same error."""
    for place, new in changes:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + 1 :]
    same(data, PricesUpdated)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("event_id", "018F3C5E-7B1A-7C2D-8E3F-0A1B2C3D4E60"),
        ("event_id", ""),
        ("service", "Big"),
        ("key", ""),
        ("key", "a\0b"),
        ("key", "k" * 129),
        ("contract_version", "1" * 33),
        ("correlation_id", ""),
        ("causation_id", ""),
        ("traceparent", "00"),
    ],
)
def test_no_rule_of_the_envelope_is_left_out(field: str, value: str) -> None:
    """A broken rule is the error that ``decode`` has for it."""
    envelope = decode(GOOD)
    setattr(envelope, field, value)
    data = envelope.SerializeToString()
    same(data, PricesUpdated)
    with pytest.raises(CartsnitchError):
        open_event(data, PricesUpdated)


def test_no_rule_of_time_or_payload_is_left_out() -> None:
    """A time out of range, none at all, and a payload that breaks its rules are refused."""
    late, none, empty = decode(GOOD), decode(GOOD), decode(GOOD)
    late.timestamp.seconds = 1 << 40
    none.ClearField("timestamp")
    empty.prices_updated.ClearField("observations")
    for envelope in (late, none, empty):
        same(envelope.SerializeToString(), PricesUpdated)
        with pytest.raises(CartsnitchError):
            open_event(envelope.SerializeToString(), PricesUpdated)
