from __future__ import annotations

import datetime as dt
import re
import time
import uuid
from pathlib import Path

import pytest
from google.protobuf.internal import api_implementation
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.event.v1 import Envelope, PricesUpdated
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common import __version__
from cartsnitch_common.constants import Service
from cartsnitch_common.contract import bindings
from cartsnitch_common.errors import (
    CartsnitchError,
    EventTooLargeError,
    InvalidFieldError,
    MalformedEnvelopeError,
    NotAPublisherError,
    SetupError,
    UnknownEventTypeError,
)
from cartsnitch_common.events import decode, encode, envelope, payload_of, wrap
from cartsnitch_common.events.json_form import MOST_ITEMS
from tests.event_payloads import all_payloads, coupons, prices
from tests.fuzz.samples import full

PROTO = Path(__file__).parents[3] / "proto/cartsnitch/event/v1"
EVENT_TYPES = sorted(all_payloads())


def only_ours(data: bytes) -> None:
    """Decode bytes; whatever they are, they are an envelope or one of our errors."""
    try:
        found = decode(data)
    except CartsnitchError:
        return
    assert payload_of(found) is not None


def test_every_event_of_the_contract_has_an_example() -> None:
    """The examples below cover the contract: a new event without one fails here."""
    assert sorted(binding.event_type for binding in bindings()) == EVENT_TYPES


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_an_envelope_comes_back_as_it_was(event_type: str) -> None:
    """Every event survives the way to bytes and back, whole."""
    payload = all_payloads()[event_type]
    sent = full(payload)
    received = decode(encode(sent))
    assert received == sent
    assert payload_of(received) == payload
    assert received.event_type == event_type
    assert received.contract_version == __version__


def test_an_envelope_says_when_and_what_by_itself() -> None:
    """Without being told, an envelope has a new UUIDv7 and the present time."""
    before = dt.datetime.now(dt.UTC)
    made = wrap(prices(), service=Service.STICKERSHOCK, key="k")
    assert uuid.UUID(made.event_id).version == 7
    assert before <= made.timestamp.ToDatetime(tzinfo=dt.UTC) <= dt.datetime.now(dt.UTC)
    assert not made.HasField("correlation_id")


def test_what_a_publisher_says_is_kept() -> None:
    """Event id and time are the publisher's when he names them."""
    event_id, moment = uuid.uuid4(), dt.datetime(2026, 3, 15, 12, tzinfo=dt.UTC)
    made = wrap(prices(), service="receiptwitness", key="k", event_id=event_id, timestamp=moment)
    assert made.event_id == str(event_id)
    assert made.timestamp.ToDatetime(tzinfo=dt.UTC) == moment


@pytest.mark.parametrize("service", ["clipartist", "api", "nobody", "", "ReceiptWitness"])
def test_only_the_publishers_of_an_event_wrap_it(service: str) -> None:
    """A service that the contract does not name as publisher is refused by name."""
    with pytest.raises(NotAPublisherError, match="receiptwitness, stickershock") as caught:
        wrap(prices(), service=service, key="k")
    assert caught.value.service == service
    assert caught.value.event_type == "cartsnitch.prices.updated"


def test_a_message_that_is_no_payload_is_refused() -> None:
    """Only the payloads of events can be wrapped."""
    with pytest.raises(UnknownEventTypeError):
        wrap(PriceObservation(), service="receiptwitness", key="k")


@pytest.mark.parametrize(
    ("key", "field"), [("", "key"), ("k" * 129, "key"), ("a\0b", "key"), ("\ud800", "")]
)
def test_a_key_that_cannot_be_stored_is_refused(key: str, field: str) -> None:
    """A key is text of 1 to 128 characters that PostgreSQL and protobuf can hold."""
    with pytest.raises(InvalidFieldError) as caught:
        wrap(prices(), service="receiptwitness", key=key)
    assert caught.value.field == field


def test_a_naive_time_is_refused() -> None:
    """A time without a zone is no instant."""
    naive = dt.datetime(2026, 3, 15, 12)  # noqa: DTZ001
    with pytest.raises(InvalidFieldError, match="naive") as caught:
        wrap(prices(), service="receiptwitness", key="k", timestamp=naive)
    assert caught.value.field == "timestamp"


def test_a_payload_that_breaks_a_rule_is_refused() -> None:
    """The contract's rules hold before anything is sent."""
    with pytest.raises(InvalidFieldError) as caught:
        wrap(PricesUpdated(store_id="x"), service="receiptwitness", key="k")
    assert caught.value.field.startswith("prices_updated.")


def test_an_event_beyond_the_limit_is_never_sent() -> None:
    """More than 256 KiB is refused when it is wrapped, with both numbers."""
    with pytest.raises(EventTooLargeError) as caught:
        wrap(coupons(description="x" * 4000, count=100), service="clipartist", key="k")
    assert caught.value.limit == 256 * 1024 < caught.value.size


def test_an_envelope_beyond_the_limit_is_never_encoded() -> None:
    """The envelope counts, not only its payload."""
    big = Envelope(key="k" * (256 * 1024))
    with pytest.raises(EventTooLargeError):
        encode(big)


def test_bytes_beyond_the_limit_are_not_even_parsed() -> None:
    """One byte more than 256 KiB is too large; 256 KiB of nonsense are malformed."""
    with pytest.raises(EventTooLargeError):
        decode(b"\0" * (256 * 1024 + 1))
    with pytest.raises(MalformedEnvelopeError):
        decode(b"\0" * (256 * 1024))


def test_a_payload_of_another_event_is_malformed() -> None:
    """Event type and payload must agree."""
    made = full(prices())
    made.event_type = "cartsnitch.coupons.updated"
    with pytest.raises(MalformedEnvelopeError, match="not the one"):
        decode(encode(made))
    made.ClearField("prices_updated")
    with pytest.raises(MalformedEnvelopeError, match="not the one"):
        decode(encode(made))


def test_an_event_type_of_a_newer_version_is_unknown_not_malformed() -> None:
    """A sound envelope of a type that is not known here can be told apart and skipped."""
    made = full(prices())
    made.ClearField("prices_updated")
    made.event_type = "cartsnitch.baskets.compared"
    newer = encode(made) + b"\xfa\x01\x03abc"  # field 31, which this version does not have
    with pytest.raises(UnknownEventTypeError) as caught:
        decode(newer)
    assert caught.value.event_type == "cartsnitch.baskets.compared"
    made.event_id = "no id"
    with pytest.raises(MalformedEnvelopeError, match="event_id"):
        decode(encode(made))


def test_a_broken_rule_makes_an_envelope_malformed() -> None:
    """What is read is held against the contract, and the field is named."""
    made = full(prices())
    made.prices_updated.observations[0].id = "secret-looking value"
    with pytest.raises(MalformedEnvelopeError, match=r"observations\[0\]\.id") as caught:
        decode(encode(made))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(10**15, 0), (-(10**15), 0), (0, -1), (0, 2 * 10**9), (253402300800, 0)]
)
def test_a_time_that_is_none_makes_an_envelope_malformed(seconds: int, nanos: int) -> None:
    """A timestamp that no clock shows does not reach a handler."""
    made = full(prices())
    made.timestamp.seconds, made.timestamp.nanos = seconds, nanos
    with pytest.raises(MalformedEnvelopeError, match="timestamp"):
        decode(encode(made))


def test_a_field_of_a_newer_version_is_kept() -> None:
    """An older reader loses nothing that it does not know."""
    data = encode(full(prices())) + b"\xfa\x01\x03abc"
    assert decode(data).SerializeToString().endswith(b"\xfa\x01\x03abc")


def test_a_small_envelope_cannot_make_much_work() -> None:
    """Many empty elements within the size limit are refused before each is checked."""
    made = full(prices())
    made.prices_updated.observations.extend([PriceObservation()] * 100_000)
    data = encode(made)
    start = time.process_time()
    with pytest.raises(MalformedEnvelopeError, match="too many"):
        decode(data)
    assert time.process_time() - start < 0.5


def test_the_bound_on_elements_is_above_every_rule() -> None:
    """No list that the contract allows is refused, and no list hides below another."""
    text = "".join(path.read_text() for path in PROTO.glob("*.proto"))
    rules = [int(number) for number in re.findall(r"max_items: (\d+)", text)]
    assert rules
    assert max(rules) <= MOST_ITEMS
    for binding in bindings():
        for field in binding.payload.DESCRIPTOR.fields:
            if field.message_type is not None:
                inner = field.message_type.fields
                assert not any(item.is_repeated for item in inner), field.full_name
    assert decode(encode(full(prices(500)))).prices_updated.observations[499].id


@given(st.binary(max_size=400))
def test_any_bytes_are_handled(data: bytes) -> None:
    """Bytes from anywhere raise only our errors."""
    only_ours(data)


@given(st.sampled_from(EVENT_TYPES), st.data())
def test_mixed_up_envelopes_are_handled(event_type: str, data: st.DataObject) -> None:
    """Pieces of sound envelopes in a wrong order raise only our errors."""
    sound = encode(full(all_payloads()[event_type]))
    start = data.draw(st.integers(0, len(sound)))
    end = data.draw(st.integers(start, len(sound)))
    only_ours(sound[:start] + sound[end:] + sound[start:end])
    only_ours(sound + sound[start:end])


def test_the_slow_runtime_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without protobuf's C runtime nothing is decoded, and the error says what to do."""
    envelope.require_fast_protobuf.cache_clear()
    monkeypatch.setattr(api_implementation, "Type", lambda: "python")
    with pytest.raises(SetupError, match="C runtime"):
        decode(b"")
    monkeypatch.undo()
    envelope.require_fast_protobuf()


def test_an_enum_value_of_a_newer_writer_is_read() -> None:
    """An older reader gets the event with the number as it is; a writer may not send it."""
    envelope = wrap(prices(), service="receiptwitness", key="store-1")
    envelope.prices_updated.store = 99  # type: ignore[assignment]
    assert decode(envelope.SerializeToString()).prices_updated.store == 99
    newer = prices()
    newer.store = 99  # type: ignore[assignment]
    with pytest.raises(InvalidFieldError, match="store"):
        wrap(newer, service="receiptwitness", key="store-1")
