"""Rules and CHECKs over several fields: every combination, by both sides."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from cartsnitch_common.constants import DiscountType, PriceSource
from cartsnitch_common.convert import MAPPINGS
from tests.field_rules import broken_by, message_rules, messages

if TYPE_CHECKING:
    from tests.contract.sides import Sides

DAYS = [None, *(dt.date(*day) for day in ((2025, 12, 31), (2026, 1, 30), (2026, 2, 1)))]
# Stands for a receipt line that exists.
LINE = "a line"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cross:
    """A rule over several fields of a mapped message.

    Attributes:
        message: The message's name.
        rule: The rule's id.
        check: The name of the CHECK that says the same.
        values: The values to combine, by column.
        sound: How many of the combinations are accepted.
    """

    message: str
    rule: str
    check: str
    values: dict[str, list[Any]]
    sound: int


CROSS = [
    Cross(
        message="StoreLocation",
        rule="store_location.coordinates",
        check="ck_store_locations_coordinates_together",
        values={"lat": [None, 0.0, 42.3], "lng": [None, 0.0, -83.7]},
        sound=5,
    ),
    Cross(
        message="NormalizedProduct",
        rule="normalized_product.size",
        check="ck_normalized_products_size_together",
        values={"size": [None, "18"], "size_unit": [None, "oz"]},
        sound=2,
    ),
    Cross(
        message="Coupon",
        rule="coupon.valid_dates",
        check="ck_coupons_valid_dates",
        values={"valid_from": DAYS, "valid_to": DAYS},
        sound=13,
    ),
    Cross(
        message="Coupon",
        rule="coupon.percent",
        check="ck_coupons_percent_range",
        values={
            "discount_type": [member.value for member in DiscountType],
            "discount_value": [
                None,
                *map(Decimal, ("0", "9.5", "99.99", "100", "100.00", "100.01", "101", "1000.5")),
            ],
        },
        sound=30,
    ),
    Cross(
        message="PriceObservation",
        rule="price_observation.purchase_item",
        check="ck_price_history_purchase_item_of_receipt",
        values={
            "source": [member.value for member in PriceSource],
            "purchase_item_id": [None, LINE],
        },
        sound=4,
    ),
]
BY_MESSAGE = {mapping.message.DESCRIPTOR.name: mapping for mapping in MAPPINGS}


@pytest.mark.parametrize("cross", CROSS, ids=lambda cross: cross.rule)
def test_a_rule_over_several_fields_is_the_tables_check(sides: Sides, cross: Cross) -> None:
    """Each combination is accepted by the rule exactly if the table stores it."""
    mapping = BY_MESSAGE[cross.message]
    line = sides.rows.the("purchase_items")
    sound = 0
    for combination in itertools.product(*cross.values.values()):
        values = dict(zip(cross.values, combination, strict=True))
        values |= {column: line for column, value in values.items() if value == LINE}
        broken = broken_by(sides.row_message(mapping, values))
        stored = sides.stores(mapping.row.__tablename__, values)
        assert broken == ([] if stored else [("", cross.rule)]), values
        sound += stored
    assert sound == cross.sound


def test_every_rule_over_several_fields_is_tried() -> None:
    """No rule of a mapped message as a whole is without its CHECK above."""
    found = {
        (message.name, rule.id)
        for message in messages()
        if message.name in BY_MESSAGE
        for rule in message_rules(message).cel
    }
    assert found == {(cross.message, cross.rule) for cross in CROSS}


def test_every_check_over_several_columns_is_tried(sides: Sides) -> None:
    """No CHECK over several columns is without its rule above."""
    found = sides.connection.execute(
        "SELECT conname FROM pg_constraint WHERE contype = 'c' AND cardinality(conkey) > 1"
    )
    assert {name for (name,) in found} == {cross.check for cross in CROSS}
