"""Prices are the same whatever the caller's own decimal context says."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from cartsnitch_common.db.queries.increases import PriceIncrease
from cartsnitch_common.db.queries.product_names import ask_products_by_name
from cartsnitch_common.recording.prices import PriceDelta, price_of
from cartsnitch_common.values.ids import new_uuid, new_uuid_texts

DAY = dt.date(2026, 3, 10)
CONTEXTS = {
    "rough": decimal.Context(prec=2, rounding=decimal.ROUND_UP),
    "strict": decimal.Context(traps=[decimal.Inexact, decimal.Rounded, decimal.FloatOperation]),
    "mute": decimal.Context(prec=3, traps=[]),
}


@pytest.fixture(params=CONTEXTS, autouse=True)
def context(request: pytest.FixtureRequest) -> Iterator[None]:
    """What the calling thread has set for sums of its own."""
    with decimal.localcontext(CONTEXTS[request.param]):
        yield


def discounted(unit_price: str, discount: str, quantity: str) -> str:
    item: dict[str, Any] = {
        "id": new_uuid(),
        "normalized_product_id": new_uuid(),
        "quantity": Decimal(quantity),
        "unit_price": Decimal(unit_price),
        "regular_price": None,
        "sale_price": None,
        "coupon_discount": Decimal(discount),
        "loyalty_discount": None,
    }
    (price_id,) = new_uuid_texts(1)
    return str(price_of(price_id, item)["coupon_price"])


@pytest.mark.parametrize(
    ("line", "price"),
    [
        (("2.50", "1.00", "3"), "2.1667"),
        (("99999999.9999", "0.01", "0.003"), "99999996.6666"),
        (("99999999.9999", "0.01", "999999999.999"), "99999999.9999"),
        (("1.0001", "0.01", "200"), "1.0000"),  # half to even
        (("1.0002", "0.01", "200"), "1.0002"),
        (("0.01", "9999999999.99", "0.001"), "0.0000"),
    ],
)
def test_a_discount_is_taken_off_to_four_places(line: tuple[str, str, str], price: str) -> None:
    """Divided first and rounded once, half to even."""
    assert discounted(*line) == price


def test_a_change_of_a_price_is_exact() -> None:
    """All digits of a difference are kept."""
    delta = PriceDelta(
        price_observation_id=uuid.UUID(int=1),
        normalized_product_id=uuid.UUID(int=2),
        price=Decimal("99999999.9999"),
        previous_price=Decimal("0.0001"),
        previous_date=DAY,
    )
    assert str(delta.change) == "99999999.9998"


@pytest.mark.parametrize(
    ("before", "now", "ratio"),
    [("3", "4", "0.3333"), ("0.0001", "99999999.9999", "999999999998.0000"), ("0", "1", "None")],
)
def test_a_ratio_of_a_rise_is_rounded_once(before: str, now: str, ratio: str) -> None:
    """To four places, half to even, also of the greatest rise there can be."""
    rise = PriceIncrease(
        normalized_product_id=uuid.UUID(int=1),
        store_id=uuid.UUID(int=2),
        previous_price=Decimal(before),
        current_price=Decimal(now),
        previous_date=DAY,
        current_date=DAY,
        price_observation_id=uuid.UUID(int=3),
    )
    assert str(rise.ratio) == ratio


def test_a_lowest_score_is_taken_as_it_is_given() -> None:
    """To four places, exactly."""
    _, parameters = ask_products_by_name("milk", min_score=Decimal("0.6667"))
    assert parameters["lowest"] == 6667
