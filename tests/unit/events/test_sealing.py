from __future__ import annotations

import datetime as dt
import operator
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.contract import binding_of
from cartsnitch_common.contract.accepting import is_flat, text_acceptance
from cartsnitch_common.errors import (
    CartsnitchError,
    EventTooLargeError,
    InvalidFieldError,
    NotAPublisherError,
    UnknownEventTypeError,
)
from cartsnitch_common.events import decode, encode, wrap
from cartsnitch_common.events.envelope import MAX_SIZE
from cartsnitch_common.events.sealing import _FIELDS, Sealed, draft, seal, seal_all
from tests.event_payloads import PRODUCT, all_payloads, prices, publisher_of
from tests.near import candidates
from tests.sound import put

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from cartsnitch.event.v1 import Envelope

PAYLOADS = [*all_payloads().values()]
SIZED = [prices(count) for count in (1, 2, 100, 500)]  # the length of a length changes


def plain(envelope: Envelope) -> Envelope:
    """An envelope without what differs from one event to the next."""
    envelope.ClearField("event_id")
    envelope.ClearField("timestamp")
    return envelope


@pytest.mark.parametrize("payload", [*PAYLOADS, *SIZED], ids=lambda one: one.DESCRIPTOR.name)
@pytest.mark.parametrize("key", [PRODUCT, "k" * 128, "🛒" * 128])
def test_the_bytes_are_those_of_the_envelope(payload: Message, key: str) -> None:
    """What is sealed is, to the byte, what protobuf writes of the envelope that wrap makes."""
    service = publisher_of(payload)
    before = dt.datetime.now(dt.UTC)
    fast = seal(payload, service=service, key=key)
    after = dt.datetime.now(dt.UTC)
    envelope = decode(fast.data)
    assert encode(envelope) == fast.data
    assert (envelope.event_id, envelope.event_type) == (fast.event_id, fast.event_type)
    tick = dt.timedelta(microseconds=1)
    assert before - tick <= envelope.timestamp.ToDatetime(tzinfo=dt.UTC) <= after
    assert plain(envelope) == plain(wrap(payload, service=service, key=key))


def test_every_event_has_an_id_of_its_own() -> None:
    """Two events of the same content are two events, the second with the higher id."""
    payload = PAYLOADS[0]
    first, second = (seal(payload, service=publisher_of(payload), key="k") for _ in range(2))
    assert first.event_id < second.event_id


def test_what_a_publisher_says_beside_the_payload_is_kept() -> None:
    """A context is in the bytes as it would be in the envelope."""
    payload = PAYLOADS[0]
    time = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
    said: dict[str, Any] = {"correlation_id": "sync-1", "causation_id": PRODUCT, "timestamp": time}
    sealed = seal(payload, service=publisher_of(payload), key="k", **said)
    envelope = decode(sealed.data)
    assert (envelope.correlation_id, envelope.causation_id) == ("sync-1", PRODUCT)
    assert envelope.timestamp.ToDatetime(tzinfo=dt.UTC) == time


@pytest.mark.parametrize(
    ("payload", "service", "key", "error"),
    [
        (prices(), "clipartist", "k", NotAPublisherError),
        (prices(), "stickershock", "", InvalidFieldError),
        (prices(), "stickershock", "k" * 129, InvalidFieldError),
        (prices(), "stickershock", "k\0", InvalidFieldError),
        (prices(), "stickershock", "\ud83d", InvalidFieldError),
        (prices(0), "stickershock", "k", InvalidFieldError),
        (prices(units=-1), "stickershock", "k", InvalidFieldError),
        (prices(501), "stickershock", "k", InvalidFieldError),
        (prices().observations[0], "stickershock", "k", UnknownEventTypeError),
    ],
)
def test_whatever_is_wrong_is_refused_as_wrap_does(
    payload: Message, service: str, key: str, error: type[Exception]
) -> None:
    """Being fast skips no check: the same error with the same words."""
    with pytest.raises(error) as refused:
        seal(payload, service=service, key=key)
    with pytest.raises(error) as wrapped:
        wrap(payload, service=service, key=key)
    assert str(refused.value) == str(wrapped.value)


@pytest.mark.parametrize("start", PAYLOADS, ids=lambda one: one.DESCRIPTOR.name)
def test_what_is_almost_right_has_the_same_fate_as_in_wrap(start: Message) -> None:
    """Each field of a payload and of what it lists, over the edges of its rules."""
    for place in _places(start):
        for field in place(start).DESCRIPTOR.fields:
            for value in candidates(field):
                payload = type(start)()
                payload.CopyFrom(start)
                put(place(payload), field, value)
                assert _fate(_sealed, payload) == _fate(_wrapped, payload), payload


def _places(payload: Any) -> list[Callable[[Any], Any]]:
    """The payload itself, and each message in it that is not a scalar of the contract."""
    places: list[Callable[[Any], Any]] = [lambda one: one]
    for field in payload.DESCRIPTOR.fields:
        if field.message_type is None or is_flat(field.message_type):
            continue
        get = operator.attrgetter(field.name)
        places.append((lambda one, get=get: get(one)[0]) if field.is_repeated else get)
    return places


def _sealed(payload: Message) -> Envelope:
    return decode(seal(payload, service=publisher_of(payload), key="k").data)


def _wrapped(payload: Message) -> Envelope:
    return decode(encode(wrap(payload, service=publisher_of(payload), key="k")))


def _fate(way: Callable[[Message], Envelope], payload: Message) -> object:
    try:
        return plain(way(payload))
    except CartsnitchError as error:
        return type(error), str(error)


def test_the_first_wrong_event_of_several_is_named() -> None:
    """Whoever publishes many learns which one is wrong, and with which words."""
    events = [(payload, "k") for payload in (prices(), prices(2), prices(0), prices(0))]
    with pytest.raises(InvalidFieldError, match="observations") as refused:
        seal_all(events, "stickershock", {})
    assert refused.value.__notes__ == ["event 2 of 4; none of them is published"]


def test_an_event_that_no_channel_carries_is_refused() -> None:
    """The limit of 256 KiB holds for the envelope, whichever way it is written."""
    payload = prices(1)
    room = MAX_SIZE - payload.ByteSize()
    # A field that this version does not know is kept, by protobuf's own rule.
    payload.MergeFromString(b"\xc2\x3e" + _size(room) + b"x" * room)
    with pytest.raises(EventTooLargeError):
        seal(payload, service="stickershock", key="k")


def _size(number: int) -> bytes:
    return bytes([number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14])


@given(st.text(max_size=130))
def test_a_key_is_taken_only_if_every_rule_is_kept(key: str) -> None:
    """The function made of the key's own rules says yes to nothing that wrap refuses."""
    accepts = text_acceptance(_FIELDS["key"])
    assert accepts is not None
    payload = PAYLOADS[0]
    if accepts(key):
        assert wrap(payload, service=publisher_of(payload), key=key).key == key
    assert accepts(key) == (0 < len(key) <= 128 and "\0" not in key)


def test_a_rule_that_is_not_known_leaves_it_to_wrap() -> None:
    """Every event of the contract has the fast way, or this fails first."""
    for payload in PAYLOADS:
        for service in binding_of(payload).publishers:
            assert not isinstance(draft(payload, service, "k", {}), Sealed)
