"""The prices that a line of a receipt shows."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.constants import PriceSource
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.convert.price import PRICE_OBSERVATION
from cartsnitch_common.convert.purchase import PURCHASE
from cartsnitch_common.recording.prices import observation_of, price_of, shared_observation
from cartsnitch_common.values.ids import new_uuid_texts

PRICES = st.decimals(min_value=0, max_value=Decimal("99999999.9999"), places=4)
AMOUNTS = st.decimals(
    min_value=Decimal("-9999999999.99"), max_value=Decimal("9999999999.99"), places=2
)
QUANTITIES = st.decimals(min_value=Decimal("0.001"), max_value=Decimal("999999999.999"), places=3)


@given(
    quantity=QUANTITIES,
    unit_price=PRICES,
    more=st.fixed_dictionaries(
        {},
        optional={
            "regular_price": PRICES,
            "sale_price": PRICES,
            "coupon_discount": AMOUNTS,
            "loyalty_discount": AMOUNTS,
        },
    ),
)
def test_what_a_right_line_shows_keeps_every_rule(
    quantity: Decimal, unit_price: Decimal, more: dict[str, Decimal]
) -> None:
    """So its rules need not be asked, and the message says what the row does."""
    purchase_id, item_id, product_id, store_id, price_id = new_uuid_texts(5)
    purchase = Purchase(
        id=purchase_id,
        user_id="u",
        store_id=store_id,
        receipt_id="r",
        purchase_date=to_date(dt.date(2026, 3, 10)),
        total=to_money(1),
    )
    purchase.ingest_time.GetCurrentTime()
    item = purchase.items.add(
        id=item_id,
        purchase_id=purchase_id,
        product_name_raw="MILK",
        quantity=to_decimal(quantity),
        unit_price=to_money(unit_price),
        extended_price=to_money(1),
        normalized_product_id=product_id,
        **{name: to_money(value) for name, value in more.items()},  # type: ignore[arg-type]
    )
    row, (values,) = PURCHASE.values_with_items(purchase)
    price = price_of(price_id, values)
    observation = observation_of(price_id, price, shared_observation(purchase), item)
    assert PRICE_OBSERVATION.values(observation) == {
        **price,
        "store_id": row["store_id"],
        "observed_date": row["purchase_date"],
        "source": PriceSource.RECEIPT,
    }
