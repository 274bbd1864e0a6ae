"""That the code works on the oldest database which it says that it works with."""

from __future__ import annotations

import datetime as dt

import psycopg
from sqlalchemy import NullPool

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.db import migrate, revisions
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.coupons import active_coupons
from cartsnitch_common.db.queries.increases import price_increases
from cartsnitch_common.db.queries.prices import current_prices, latest_prices, price_history
from cartsnitch_common.db.queries.product_codes import find_product_by_code
from cartsnitch_common.db.queries.product_names import find_products_by_name
from cartsnitch_common.db.queries.purchases import purchases_of
from cartsnitch_common.db.queries.sizes import list_sizes
from cartsnitch_common.recording import record_purchase
from tests.rows import Rows

DAY = dt.date(2026, 3, 10)


async def test_the_oldest_compatible_database_serves_the_code(empty: Settings) -> None:
    """A purchase is recorded, known again, and what the services share is read."""
    migrate.upgrade(empty, revisions.OLDEST_COMPATIBLE)
    with psycopg.connect(empty.require_database_url(), autocommit=True) as connection:
        rows = Rows(connection)
        user, store, product = (rows.the(one) for one in ("users", "stores", "normalized_products"))
    receipt = Purchase(
        user_id=user,
        store_id=str(store),
        receipt_id="r-1",
        purchase_date=to_date(DAY),
        total=to_money(3),
    )
    receipt.ingest_time.GetCurrentTime()
    receipt.items.add(
        product_name_raw="MILK 64 FL OZ",
        quantity=to_decimal(1),
        unit_price=to_money(3),
        extended_price=to_money(3),
        regular_price=to_money(3),
        normalized_product_id=str(product),
    )
    engine = async_engine(empty, poolclass=NullPool)
    async with async_sessions(engine)() as session:
        assert (await record_purchase(session, receipt)).is_new
        assert not (await record_purchase(session, receipt)).is_new
        assert len(await latest_prices(session, [product])) == 1
        assert len(await current_prices(session, store)) == 1
        assert len(await price_history(session, product)) == 1
        assert len(await list_sizes(session, product)) == 1
        (purchase,) = await purchases_of(session, user)
        assert len(purchase.items) == 1
        assert await price_increases(session, DAY) == []
        assert await active_coupons(session, DAY) == []
        assert await find_product_by_code(session, "4011") is None
        assert await find_products_by_name(session, "no such thing") == []
    await engine.dispose()
