from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.errors import (
    CartsnitchError,
    EventTooLargeError,
    MalformedEnvelopeError,
    UnknownEventTypeError,
)
from cartsnitch_common.events import decode, from_json, to_json, wrap
from tests.event_payloads import STORE, all_payloads, coupons, publisher_of, receipts

SEED = {
    "event_type": "cartsnitch.receipts.ingested",
    "timestamp": "2026-03-15T12:00:00Z",
    "service": "receiptwitness",
    "payload": {
        "user_id": "user-1",
        "store_id": STORE,
        "store": "STORE_SLUG_KROGER",
        "receipts": [
            {
                "purchase_id": STORE,
                "receipt_id": "0042",
                "purchase_date": {"year": 2026, "month": 3, "day": 10},
                "total": {"currency_code": "USD", "units": "87", "nanos": 420000000},
                "item_count": 12,
            }
        ],
    },
}


def changed(**changes: Any) -> str:
    return json.dumps({**SEED, **changes})


def example() -> Envelope:
    envelope = wrap(receipts(), service="receiptwitness", key="user-1", event_id=STORE)
    envelope.timestamp.FromJsonString(SEED["timestamp"])
    envelope.contract_version = "0.1.0"
    return envelope


def test_the_json_form_is_the_seeds() -> None:
    """The seed's four fields as the seed writes them, the payload last, the rest between."""
    expected = {
        "event_type": SEED["event_type"],
        "timestamp": SEED["timestamp"],
        "service": SEED["service"],
        "event_id": STORE,
        "key": "user-1",
        "contract_version": "0.1.0",
        "payload": SEED["payload"],
    }
    text = to_json(example())
    assert text == json.dumps(expected)
    assert "\n" not in text


@pytest.mark.parametrize("event_type", sorted(all_payloads()))
def test_every_event_comes_back_from_json(event_type: str) -> None:
    """The JSON form of every event is read back as what it was, as text and as bytes."""
    payload = all_payloads()[event_type]
    sent = wrap(payload, service=publisher_of(payload), key="k", correlation_id="ü")
    assert from_json(to_json(sent)) == sent
    assert decode(to_json(sent).encode()) == sent


def test_an_event_of_an_older_service_is_accepted() -> None:
    """The seed's four fields are enough: the rest is derived, the same each time."""
    first = decode(json.dumps(SEED).encode())
    assert first.key == SEED["event_type"]
    assert first.contract_version == ""
    assert first.receipts_ingested == receipts()
    assert decode(json.dumps(SEED).encode()).event_id == first.event_id
    later = changed(timestamp="2026-03-15T12:00:01Z")
    assert from_json(later).event_id != first.event_id


def test_an_event_type_of_a_newer_version_is_unknown() -> None:
    """In JSON as in bytes an unknown type is told apart from a malformed envelope."""
    with pytest.raises(UnknownEventTypeError):
        from_json(changed(event_type="cartsnitch.baskets.compared", payload={"a": 1}))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is not JSON"),
        ("[]", "is not JSON: it is no object"),
        ("", "is not JSON"),
        ('{"a": 1, "a": 2}', "given twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ('{"a":' + "[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "UTF-8"),
        ("\ud800", "half a character"),
        (changed(payload=None), "payload: must be an object"),
        (changed(payload=[]), "payload: must be an object"),
        (changed(receipts_ingested=SEED["payload"]), "must be named payload"),
        (changed(event_type=5), "event_type"),
        (changed(event_type=None), "event_type"),
        (changed(event_type="Not One"), "event_type"),
        (changed(eventType="cartsnitch.receipts.ingested"), "given twice"),
        (changed(timestamp="2026-03-15T12:00:00"), "timestamp"),
        (changed(timestamp=None), "timestamp"),
        (changed(service=None), "service"),
        (changed(event_id="nonsense"), "event_id"),
        (changed(event_id=""), "event_id"),
        (changed(extra=1), "extra"),
        (changed(payload={**SEED["payload"], "extra": 1}), "payload.extra"),
        (changed(payload={**SEED["payload"], "store": "aldi"}), "payload.store"),
        (changed(payload={**SEED["payload"], "store_id": "x"}), "store_id"),
        (changed(payload={**SEED["payload"], "receipts": [{}] * 1001}), "too many"),
    ],
)
def test_json_that_is_no_envelope_is_malformed(text: str | bytes, reason: str) -> None:
    """Each way to be wrong is one error that says where."""
    with pytest.raises(MalformedEnvelopeError, match=reason):
        from_json(text)


def test_a_reason_is_one_short_printable_line() -> None:
    """Whatever stands in a name, the error fits into a log and a text column."""
    hostile = "\x00\n\x1b[31m\ud800" + "x" * 5000
    with pytest.raises(MalformedEnvelopeError) as caught:
        from_json(changed(**{hostile: 1}))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300


def test_json_beyond_the_limit_is_not_parsed() -> None:
    """The limit is the same in both forms, in bytes."""
    with pytest.raises(EventTooLargeError):
        from_json('{"a": "' + "ü" * (128 * 1024) + '"}')


def test_a_small_json_cannot_make_much_work() -> None:
    """Many empty elements within the size limit are refused before each is read."""
    text = changed(payload={**SEED["payload"], "receipts": [{}] * 65_000})
    start = time.process_time()
    with pytest.raises(MalformedEnvelopeError):
        from_json(text)
    assert time.process_time() - start < 0.2


def test_a_time_that_json_cannot_say_is_an_error_of_ours() -> None:
    """An envelope with an impossible time in its payload is not rendered, and says why."""
    envelope = wrap(coupons(), service="clipartist", key="k")
    envelope.coupons_updated.coupons[0].scrape_time.seconds = 10**15
    with pytest.raises(MalformedEnvelopeError, match="time"):
        to_json(envelope)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = st.sampled_from([*SEED, "event_id", "key", "causation_id", "traceparent", "x"])


@given(st.dictionaries(NAMES, VALUES, max_size=3), st.dictionaries(st.text(), VALUES, max_size=2))
def test_any_json_is_handled(top: dict[str, Any], inside: dict[str, Any]) -> None:
    """Whatever a sender puts where, only our errors come out."""
    for value in ({**SEED, **top}, {**SEED, "payload": {**SEED["payload"], **inside}}):
        with suppress(CartsnitchError):
            decode(json.dumps(value).encode())
