"""What the planner does on a million rows, for the values at hand and for any."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import Select, literal_column, select
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.models import PriceHistory
from cartsnitch_common.db.queries.prices import select_current_prices, select_price_history
from cartsnitch_common.db.queries.purchases import purchases_of, select_purchases
from cartsnitch_common.recording import record_purchase
from tests.integration.queries.a_million import MILK, PRODUCT, STORE, Plans, fill, reads_in_whole
from tests.integration.queries.planned import MIDDLE, PLANNED, TODAY, WEEK, Planned

MODES = ("force_custom_plan", "force_generic_plan")


@pytest.fixture(scope="module")
def million(shared_database: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection to a database of such tables."""
    with psycopg.connect(shared_database, autocommit=True, prepare_threshold=None) as connection:
        fill(connection)
        yield connection


@pytest.fixture(params=MODES)
async def watched(
    million: psycopg.Connection[Any], shared_database: str, request: pytest.FixtureRequest
) -> AsyncIterator[tuple[AsyncSession, Plans]]:
    """A session whose plans are told; nothing of it is kept."""
    del million
    engine = async_engine(Settings.load(database_url=shared_database))
    async with async_sessions(engine)() as session:
        plans = Plans(session)
        await plans.watch(request.param)
        yield session, plans
    await engine.dispose()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PLANNED)
def test_a_query_reads_by_its_index_what_it_answers_with(
    million: psycopg.Connection[Any], name: str, mode: str
) -> None:
    """No whole table, nothing sorted that the index has in order, and no more than it takes.

    Also once the statement has run often and has one plan for all values.
    """
    PLANNED[name].check(million, mode)


BROKEN: dict[str, tuple[str, Select[Any]]] = {
    "purchases by another column": (
        "a page of a user's purchases",
        select(models.Purchase)
        .where(models.Purchase.user_id == "user-7")
        .order_by(models.Purchase.total, models.Purchase.id)
        .limit(50),
    ),
    "purchases without the position": (
        "a page of a user's purchases",
        select_purchases("user-7"),
    ),
    "purchases behind an offset": (
        "a page of a user's purchases",
        select_purchases("user-7", after=(WEEK, PRODUCT)).offset(150),
    ),
    "a series by another column": (
        "a page of a long series",
        select_price_history(MILK, store_id=STORE, after=MIDDLE)
        .order_by(None)
        .order_by(PriceHistory.regular_price, PriceHistory.id),
    ),
    "a series behind an offset": (
        "a page of a long series",
        select_price_history(MILK, store_id=STORE, after=MIDDLE).offset(150),
    ),
    "a latest price of a sorted series": (
        "a latest price of a long series",
        select(PriceHistory)
        .where(PriceHistory.normalized_product_id == MILK, PriceHistory.store_id == STORE)
        .order_by((PriceHistory.observed_date + literal_column("0")).desc(), PriceHistory.id)
        .limit(1),
    ),
    "a product's stores in one": (
        "a page of a product",
        select(PriceHistory)
        .where(PriceHistory.normalized_product_id == MILK)
        .order_by(PriceHistory.observed_date, PriceHistory.id)
        .limit(50),
    ),
    "coupons of the basket, expired or not": (
        "coupons of a product or the basket",
        select(models.Coupon)
        .where(models.Coupon.normalized_product_id.is_(None))
        .order_by(models.Coupon.valid_to)
        .limit(50),
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", BROKEN)
def test_a_query_that_reads_more_is_seen(
    million: psycopg.Connection[Any], name: str, mode: str
) -> None:
    """The measure of the test above: what has lost its position or its order does not pass."""
    planned, query = BROKEN[name]
    with pytest.raises(AssertionError):
        replace(PLANNED[planned], query=query).check(million, mode)


@pytest.mark.parametrize("mode", MODES)
def test_a_stores_prices_are_read_from_the_kept_table(
    million: psycopg.Connection[Any], mode: str
) -> None:
    """Its key gives the store's rows in their order; the history is not touched."""
    query = select_current_prices(STORE, after=PRODUCT, limit=50)
    kept = Planned(
        query=query,
        index="pk_current_prices",
        rows=50,
        blocks=60,
        position="normalized_product_id >",
        sorts=0,
    )
    assert "price_history" not in kept.check(million, mode)


# -- what runs as several statements: as the server tells it when they have run ------


def used(told: str) -> set[str]:
    """The indexes that were read."""
    return set(re.findall(r"Index (?:Only )?Scan (?:Backward )?(?:using|on) (\w+)", told))


async def test_the_items_of_a_page_of_purchases_are_read_by_an_index(
    watched: tuple[AsyncSession, Plans],
) -> None:
    """One statement for all purchases of the page."""
    session, plans = watched
    page = await purchases_of(session, "user-7", until=WEEK)
    assert [len(purchase.items) for purchase in page] == [0] * 50
    assert used(await plans.told()) == {
        "ix_purchases_user_id_purchase_date_id",
        "ix_purchase_items_purchase_id",
    }
    older = await purchases_of(session, "user-7", until=dt.date(2024, 12, 1))
    assert [len(purchase.items) for purchase in older] == [2] * 50
    told = await plans.told()
    assert "ix_purchase_items_purchase_id" in used(told)
    assert not reads_in_whole(told), told


@pytest.fixture
def receipt() -> Purchase:
    """A receipt of three lines, each of a product with a history at the store."""
    made = Purchase(
        user_id="user-7",
        store_id=str(STORE),
        store_location_id=str(uuid.UUID("00000000-0000-7000-8000-000000000003")),
        receipt_id="new",
        purchase_date=to_date(TODAY),
        total=to_money(3),
    )
    made.ingest_time.GetCurrentTime()
    for number in (7, 8, 9):
        made.items.add(
            product_name_raw="MILK",
            quantity=to_decimal(1),
            unit_price=to_money(1),
            extended_price=to_money(1),
            normalized_product_id=f"00000000-0000-7000-8000-{number:012x}",
        )
    return made


async def test_to_record_a_purchase_reads_indexes_only(
    watched: tuple[AsyncSession, Plans], receipt: Purchase
) -> None:
    """Parents, the price before, what the keys ask for and the prices that are kept."""
    session, plans = watched
    recorded = await record_purchase(session, receipt)
    assert recorded.is_new
    assert all(delta.previous_price is not None for delta in recorded.deltas)
    told = await plans.told()
    assert not reads_in_whole(told), told
    assert used(told) >= {
        "pk_store_locations",
        "pk_normalized_products",
        "ix_price_history_series",
        "pk_users",
        "pk_purchases",
        "pk_purchase_items",
    }
    assert "INSERT INTO public.current_prices" in told


async def test_to_find_a_purchase_recorded_reads_indexes_only(
    watched: tuple[AsyncSession, Plans], receipt: Purchase
) -> None:
    """The number of the receipt and its items, however many others there are."""
    session, plans = watched
    await record_purchase(session, receipt)
    await plans.told()
    assert not (await record_purchase(session, receipt)).is_new
    told = await plans.told()
    assert not reads_in_whole(told), told
    assert used(told) >= {
        "uq_purchases_store_id_receipt_id",
        "ix_purchase_items_purchase_id",
    }
