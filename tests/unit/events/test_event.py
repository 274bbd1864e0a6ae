from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import pytest

from cartsnitch.event.v1 import CouponsUpdated, PricesUpdated, ReceiptsIngested
from cartsnitch_common.constants import EventType
from cartsnitch_common.errors import MalformedEnvelopeError
from cartsnitch_common.events import Event, event_from, wrap
from tests.event_payloads import STORE, prices, receipts


def test_an_event_says_what_its_envelope_says() -> None:
    """Each fact of the envelope is there, in Python's own types."""
    moment = dt.datetime(2026, 3, 15, 12, 0, 0, 123456, tzinfo=dt.UTC)
    envelope = wrap(
        prices(),
        service="stickershock",
        key="store-1",
        correlation_id="sync-1",
        causation_id=uuid.UUID(STORE),
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        timestamp=moment,
    )
    event = event_from(envelope, PricesUpdated)
    assert event == Event(
        payload=prices(),
        event_id=uuid.UUID(envelope.event_id),
        type=EventType.PRICES_UPDATED,
        timestamp=moment,
        service="stickershock",
        key="store-1",
        contract_version=envelope.contract_version,
        correlation_id="sync-1",
        causation_id=uuid.UUID(STORE),
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
    )


def test_what_a_publisher_left_out_is_none() -> None:
    """Unset is None, not an empty text."""
    event = event_from(wrap(prices(), service="stickershock", key="k"), PricesUpdated)
    assert (event.correlation_id, event.causation_id, event.traceparent) == (None, None, None)


def test_a_time_finer_than_a_microsecond_is_cut() -> None:
    """Publishers in other languages may count nanoseconds; the event is not refused."""
    envelope = wrap(prices(), service="stickershock", key="k")
    envelope.timestamp.nanos = 123_456_789
    assert event_from(envelope, PricesUpdated).timestamp.microsecond == 123_456


def test_an_event_of_another_payload_is_refused() -> None:
    """A handler never gets a payload of another type than it asked for."""
    with pytest.raises(MalformedEnvelopeError):
        event_from(wrap(prices(), service="stickershock", key="k"), CouponsUpdated)


def test_the_repr_leaves_the_payload_out() -> None:
    """What a receipt holds does not get into a log by a repr."""
    envelope = wrap(receipts(), service="receiptwitness", key="k")
    text = repr(event_from(envelope, ReceiptsIngested))
    assert envelope.event_id in text
    assert "payload" not in text
    assert "user-1" not in text


def test_an_event_is_a_value() -> None:
    """It cannot be changed, and a naive time is refused when it is made."""
    event = event_from(wrap(prices(), service="stickershock", key="k"), PricesUpdated)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.key = "other"  # type: ignore[misc]
    with pytest.raises(ValueError, match="naive"):
        dataclasses.replace(event, timestamp=dt.datetime(2026, 3, 15))  # noqa: DTZ001
