"""The table of current prices, compared with the history that it is kept from."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from decimal import Decimal
from typing import Any

import psycopg

DAY = dt.date(2026, 3, 10)

COLUMNS = (
    "store_id, normalized_product_id, id, observed_date, regular_price, sale_price,"
    " loyalty_price, coupon_price, source, purchase_item_id"
)
KEPT = f"SELECT {COLUMNS} FROM current_prices ORDER BY store_id, normalized_product_id"
FOUND = (
    f"SELECT DISTINCT ON (store_id, normalized_product_id) {COLUMNS} FROM price_history"
    " ORDER BY store_id, normalized_product_id, observed_date DESC, id DESC"
)


def check(connection: psycopg.Connection[Any], product: Any = None) -> list[Any]:
    """The table is what the history says, of one product or of all."""
    kept, found = (
        [row for row in connection.execute(query) if product in {None, row[1]}]
        for query in (KEPT, FOUND)
    )
    assert kept == found
    return kept


def insert(
    connection: psycopg.Connection[Any], stores: list[Any], products: list[Any], batch: list[Any]
) -> None:
    """Record prices in one statement; a price is of a number, a product, a store, a day, cents."""
    values = [
        (
            uuid.UUID(int=(price["number"] << 96) | uuid.uuid4().int >> 40),
            products[price["product"]],
            stores[price["store"]],
            DAY + dt.timedelta(days=price["day"]),
            Decimal(price["cents"]) / 100,
        )
        for price in batch
    ]
    rows = ", ".join(["(%s, %s, %s, %s, %s, 'catalog')"] * len(values))
    connection.execute(
        "INSERT INTO price_history"
        " (id, normalized_product_id, store_id, observed_date, regular_price, source)"
        f" VALUES {rows}",
        list(itertools.chain(*values)),
    )
