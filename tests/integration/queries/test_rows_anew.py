"""A session that goes on after a commit keeps its rows, and a query reads them again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.db import models
from cartsnitch_common.db.queries.coupons import active_coupons
from cartsnitch_common.db.queries.prices import (
    current_prices,
    latest_price,
    latest_prices,
    price_history,
)
from cartsnitch_common.db.queries.product_codes import find_product_by_code, find_products_by_codes
from cartsnitch_common.db.queries.product_names import find_products_by_name
from cartsnitch_common.db.queries.purchases import purchases_of, with_items
from cartsnitch_common.db.queries.sizes import list_sizes
from tests.rows import Rows

DAY = dt.date(2026, 3, 10)

type Ask = Callable[[AsyncSession, Rows], Awaitable[Any]]


async def latest(session: AsyncSession, rows: Rows) -> Any:
    product, store = rows.the("normalized_products"), rows.the("stores")
    return await latest_price(session, product, store)


async def latest_of_many(session: AsyncSession, rows: Rows) -> Any:
    (price,) = await latest_prices(session, [rows.the("normalized_products")])
    return price


async def current(session: AsyncSession, rows: Rows) -> Any:
    (price,) = await current_prices(session, rows.the("stores"))
    return price


async def history(session: AsyncSession, rows: Rows) -> Any:
    (point,) = await price_history(session, rows.the("normalized_products"))
    return point.price


async def coupon(session: AsyncSession, _: Rows) -> Any:
    (found,) = await active_coupons(session, DAY)
    return found


async def by_code(session: AsyncSession, _: Rows) -> Any:
    return await find_product_by_code(session, "4011")


async def by_codes(session: AsyncSession, _: Rows) -> Any:
    return (await find_products_by_codes(session, ["4011"]))["4011"]


async def by_name(session: AsyncSession, _: Rows) -> Any:
    (match,) = await find_products_by_name(session, "ripe bananas")
    return match.product


async def purchase(session: AsyncSession, rows: Rows) -> Any:
    (found,) = await purchases_of(session, rows.the("users"))
    return found


async def item(session: AsyncSession, rows: Rows) -> Any:
    (found,) = (await purchase(session, rows)).items
    return found


QUERIES: list[tuple[Ask, type[models.Base], str, Any]] = [
    (latest, models.PriceHistory, "regular_price", 2),
    (latest_of_many, models.PriceHistory, "regular_price", 2),
    (current, models.PriceHistory, "regular_price", 2),
    (history, models.PriceHistory, "regular_price", 2),
    (coupon, models.Coupon, "valid_to", DAY),
    (by_code, models.NormalizedProduct, "upc_variants", ["4011"]),
    (by_codes, models.NormalizedProduct, "upc_variants", ["4011"]),
    (by_name, models.NormalizedProduct, "canonical_name", "Ripe bananas"),
    (purchase, models.Purchase, "total", 2),
    (item, models.PurchaseItem, "category_raw", "Fruit"),
]


@pytest.fixture
def written(rows: Rows) -> Rows:
    """A row of everything that the queries find, and with it what they find it by."""
    for table in ("coupons", "price_history", "purchase_items"):
        rows.add(table)
    return rows


def change(rows: Rows, model: type[models.Base], column: str, value: Any) -> None:
    """What another transaction writes."""
    new = Jsonb(value) if isinstance(value, list) else value
    rows.connection.execute(f"UPDATE {model.__tablename__} SET {column} = %s", [new])


async def held(session: AsyncSession, model: Any) -> Any:
    """A row that the session has read, and keeps after the commit."""
    statement = select(model)
    found = await session.scalars(
        with_items(statement) if model is models.Purchase else statement  # type: ignore[arg-type]
    )
    row = found.one()
    await session.commit()
    return row


@pytest.mark.parametrize(("ask", "model", "column", "value"), QUERIES)
async def test_a_row_that_is_held_is_answered_as_it_is_now(
    session: AsyncSession, written: Rows, ask: Ask, model: Any, column: str, value: Any
) -> None:
    """What another transaction has changed since is in the answer, and found by."""
    row = await held(session, model)
    items = await held(session, models.Purchase)  # with them, for those of a purchase
    change(written, model, column, value)
    found = await ask(session, written)
    assert found is row
    assert getattr(found, column) == value
    assert items.items


@pytest.mark.parametrize(("ask", "model", "column", "value"), QUERIES)
async def test_a_change_that_is_not_written_yet_is_not_lost(
    session: AsyncSession, written: Rows, ask: Ask, model: Any, column: str, value: Any
) -> None:
    """It is written before the query, or kept where the session is told not to write."""
    change(written, model, column, value)
    row = await held(session, model)
    other = "brand" if model is models.NormalizedProduct else column
    mine = {"valid_to": DAY + dt.timedelta(days=1), "category_raw": "Mine", "brand": "Mine"}
    new = mine.get(other, 3)
    setattr(row, other, new)
    with session.no_autoflush:
        assert getattr(await ask(session, written), other) == new
    assert row in session.dirty
    assert getattr(await ask(session, written), other) == new
    stored = getattr(model, other)
    assert await session.scalar(select(func.max(stored))) == new


async def test_a_line_that_was_matched_since_has_its_size(
    session: AsyncSession, rows: Rows
) -> None:
    """A session that holds the line without its product finds the size that it prints."""
    rows.add("purchase_items", product_name_raw="MILK 64 FL OZ", normalized_product_id=None)
    row = await held(session, models.PurchaseItem)
    product = rows.add("normalized_products")
    change(rows, models.PurchaseItem, "normalized_product_id", product)
    (size,) = await list_sizes(session, product)
    assert (size.purchase_item_id, size.size, size.unit) == (row.id, "64", "fl oz")


async def test_a_product_is_found_by_codes_that_its_held_row_lacks(
    session: AsyncSession, written: Rows
) -> None:
    """Also where the session is told to keep its rows as they are."""
    row = await held(session, models.NormalizedProduct)
    change(written, models.NormalizedProduct, "upc_variants", ["4011"])
    with session.no_autoflush:
        assert await find_products_by_codes(session, ["94011", "4011"]) == {"4011": row}
    assert row.upc_variants == []
