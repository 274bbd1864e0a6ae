from __future__ import annotations

import json

import pytest

from cartsnitch_common.cli.events_filter import Condition
from cartsnitch_common.constants import EventType
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.events import to_json, wrap
from tests.event_payloads import PRODUCT, STORE, prices

VALUE = json.loads(to_json(wrap(prices(2), service="stickershock", key="k")))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("service=stickershock", True),
        ("service=receiptwitness", False),
        (f"payload.store_id={STORE}", True),
        (f"payload.observations.normalized_product_id={PRODUCT}", True),
        ("payload.observations.normalized_product_id=x", False),
        ("payload.observations.observed_date.day=10", True),
        ("payload.observations.observed_date.day=1", False),
        ("payload.observations.regular_price.units=3", True),
        ("correlation_id=", False),
        ("payload.store=STORE_SLUG_MEIJER", True),
    ],
)
def test_a_field_is_compared_as_json_writes_it(text: str, *, holds: bool) -> None:
    """A condition holds for the value at its path, in any element of a list on the way."""
    assert Condition.parse(text, set(EventType)).holds(VALUE) is holds


@pytest.mark.parametrize(
    "text",
    [
        "service",
        "",
        "=",
        "payload=x",
        "payload.stores=x",
        "payload.store.x=y",
        "a..b=c",
        "nothing=x",
    ],
)
def test_a_field_that_no_event_has_is_refused(text: str) -> None:
    """A typing error is an error, and no silence."""
    with pytest.raises(InvalidFieldError, match="--where"):
        Condition.parse(text, set(EventType))


def test_the_field_must_be_of_a_channel_that_is_shown() -> None:
    """What another channel has does not count."""
    text = "payload.coupons.title=Half off"
    assert Condition.parse(text, {EventType.COUPONS_UPDATED}).path == (
        "payload",
        "coupons",
        "title",
    )
    with pytest.raises(InvalidFieldError):
        Condition.parse(text, {EventType.PRICES_UPDATED})
