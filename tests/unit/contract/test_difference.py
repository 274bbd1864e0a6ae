from __future__ import annotations

from collections.abc import Callable

import pytest

from cartsnitch.purchase.v1 import Purchase
from cartsnitch.type.v1 import Money
from cartsnitch_common.contract.difference import first_difference


def purchase() -> Purchase:
    made = Purchase(receipt_id="r", total=Money(units=5), store_location_id="")
    made.items.add(product_name_raw="MILK")
    made.items.add(product_name_raw="EGGS", upc="4011")
    return made


def test_equal_messages_have_no_difference() -> None:
    """A message is as its copy is."""
    assert first_difference(purchase(), purchase()) is None


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (lambda p: setattr(p, "receipt_id", "s"), "receipt_id"),
        (lambda p: setattr(p.total, "units", 6), "total"),
        (lambda p: p.ClearField("total"), "total"),
        (lambda p: p.ClearField("store_location_id"), "store_location_id"),
        (lambda p: p.tax.SetInParent(), "tax"),
        (lambda p: setattr(p.items[1], "upc", "4012"), "items[1].upc"),
        (lambda p: p.items[1].ClearField("upc"), "items[1].upc"),
        (lambda p: p.items.add(), "items"),
        (lambda p: p.items.pop(), "items"),
    ],
)
def test_the_first_field_that_differs_is_named(
    change: Callable[[Purchase], object], path: str
) -> None:
    """Unset is another value than empty; items are looked into, from either side."""
    other = purchase()
    change(other)
    assert first_difference(purchase(), other) == path
    assert first_difference(other, purchase()) == path
