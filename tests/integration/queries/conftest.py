from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money, to_timestamp
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.embedded import EmbeddedServers
from cartsnitch_common.testing.plugin import _own_database
from tests.integration.queries.receipts import DAY, Sessions
from tests.rows import Rows


@pytest.fixture(scope="module")
def shared_database(cartsnitch_servers: EmbeddedServers, cartsnitch_template: str) -> Iterator[str]:
    """The URL of a database at head that the tests of a module share."""
    yield from _own_database(cartsnitch_servers.database_url, template=cartsnitch_template)


@pytest.fixture(scope="module")
def stores_and_products(shared_database: str) -> tuple[list[Any], list[Any]]:
    """The ids of two stores and of three products in the database that is shared."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        rows = Rows(connection)
        stores = [rows.add("stores", slug=slug) for slug in ("meijer", "kroger")]
        return stores, [rows.add("normalized_products") for _ in range(3)]


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    """Inserts rows into the test's own database, each at once committed."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield Rows(connection)


@pytest.fixture
async def session(database: str) -> AsyncIterator[AsyncSession]:
    """A session on the test's own database."""
    engine = async_engine(Settings.load(database_url=database))
    async with async_sessions(engine)() as session:
        yield session
    await engine.dispose()


@pytest.fixture
async def sessions(database: str) -> AsyncIterator[Sessions]:
    engine = async_engine(Settings.load(database_url=database))
    yield async_sessions(engine)
    await engine.dispose()


@pytest.fixture
def purchase(rows: Rows) -> Purchase:
    """Three lines: a matched one with every price, an unmatched one, and a matched return."""
    made = Purchase(
        user_id=rows.the("users"),
        store_id=str(rows.the("stores")),
        store_location_id=str(rows.the("store_locations")),
        receipt_id="r-1",
        purchase_date=to_date(DAY),
        total=to_money(Decimal("9.42")),
        ingest_time=to_timestamp(dt.datetime(2026, 3, 11, tzinfo=dt.UTC)),
    )
    product = str(rows.the("normalized_products"))
    milk = made.items.add(
        product_name_raw="MILK 64 FL OZ",
        upc="041250000001",
        quantity=to_decimal(Decimal(3)),
        unit_price=to_money(Decimal("2.50")),
        extended_price=to_money(Decimal("7.50")),
        regular_price=to_money(Decimal("2.99")),
        sale_price=to_money(Decimal("2.50")),
        coupon_discount=to_money(Decimal("1.00")),
        loyalty_discount=to_money(Decimal("0.50")),
        normalized_product_id=product,
    )
    milk.quantity.value = "3.0"
    made.items.add(
        product_name_raw="SOMETHING",
        quantity=to_decimal(Decimal("0.755")),
        unit_price=to_money(Decimal("3.3333")),
        extended_price=to_money(Decimal("2.52")),
    )
    made.items.add(
        product_name_raw="MILK RETURNED",
        quantity=to_decimal(Decimal(-1)),
        unit_price=to_money(Decimal("2.50")),
        extended_price=to_money(Decimal("-2.50")),
        normalized_product_id=product,
    )
    return made
