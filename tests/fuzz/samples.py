"""Sound envelopes, to be spoilt."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cartsnitch_common.events import encode, to_json, wrap
from tests.event_payloads import STORE, all_payloads, publisher_of

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from cartsnitch.event.v1 import Envelope


def full(payload: Message) -> Envelope:
    """An envelope with every field set, the same in every run."""
    return wrap(
        payload,
        service=publisher_of(payload),
        key="k",
        correlation_id="sync-1",
        causation_id=STORE,
        traceparent=f"00-{'a' * 32}-{'b' * 16}-01",
        event_id=STORE,
        timestamp=dt.datetime(2026, 3, 15, 12, tzinfo=dt.UTC),
    )


def envelopes() -> dict[str, Envelope]:
    """One of every event type."""
    return {event_type: full(payload) for event_type, payload in all_payloads().items()}


def sound_bytes() -> list[bytes]:
    """One of every event type in each of its two forms."""
    made = envelopes().values()
    return [form for one in made for form in (encode(one), to_json(one).encode())]
