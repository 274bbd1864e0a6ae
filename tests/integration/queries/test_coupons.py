from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.convert import fetch_messages, to_message
from cartsnitch_common.db.queries.coupons import active_coupons, select_active_coupons
from tests.rows import Rows

DAY = dt.date(2026, 3, 10)
BOUNDS = (None, DAY - dt.timedelta(days=1), DAY, DAY + dt.timedelta(days=1))


@pytest.fixture
def coupons(rows: Rows) -> list[dict[str, Any]]:
    """One of each: two stores, two products or the basket, every kind of bound."""
    stores = [rows.the("stores"), rows.add("stores", slug="kroger")]
    products = [None, rows.add("normalized_products"), rows.add("normalized_products")]
    made = []
    for store, product, first, last in itertools.product(stores, products, BOUNDS, BOUNDS):
        if first is None or last is None or first <= last:
            coupon = {
                "store_id": store,
                "normalized_product_id": product,
                "valid_from": first,
                "valid_to": last,
            }
            made.append(coupon | {"id": rows.add("coupons", **coupon)})
    return sorted(made, key=lambda coupon: coupon["id"])


async def test_active_coupons_are_those_whose_days_hold_the_day(
    coupons: list[dict[str, Any]], session: AsyncSession
) -> None:
    """Open bounds are none; of a store, of a product, with or without those of the basket."""
    stores = {coupon["store_id"] for coupon in coupons}
    products = {coupon["normalized_product_id"] for coupon in coupons} - {None}
    for store, product, basket in itertools.product(
        [None, *stores], [None, *products], [False, True]
    ):
        wanted = {product, None} if basket else {product}
        expected = [
            coupon["id"]
            for coupon in coupons
            if store in {None, coupon["store_id"]}
            and (product is None or coupon["normalized_product_id"] in wanted)
            and (coupon["valid_from"] or DAY) <= DAY <= (coupon["valid_to"] or DAY)
        ]
        found = await active_coupons(
            session, DAY, store_id=store, product_id=product, basket=basket, limit=1000
        )
        assert [coupon.id for coupon in found] == expected
        assert expected


@pytest.mark.parametrize("limit", [1, 4, 1000])
async def test_pages_of_coupons_are_the_coupons(
    coupons: list[dict[str, Any]], session: AsyncSession, limit: int
) -> None:
    """Page by page each coupon comes once, ascending by id."""
    found: list[Any] = []
    after = None
    while page := await active_coupons(session, DAY, after=after, limit=limit):
        found += page
        after = page[-1].id
    everything = await active_coupons(session, DAY, limit=1000)
    assert [coupon.id for coupon in found] == [coupon.id for coupon in everything]
    assert len(found) < len(coupons)
    messages = await fetch_messages(session, select_active_coupons(DAY, limit=1000))
    assert messages == [to_message(coupon) for coupon in found]
