"""What the planner does on a million rows, for the values at hand and for any."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.coupons import select_active_coupons
from cartsnitch_common.db.queries.increases import select_price_increases
from cartsnitch_common.db.queries.prices import (
    select_current_prices,
    select_latest_prices,
    select_price_history,
)
from cartsnitch_common.db.queries.purchases import purchases_of, select_purchases
from cartsnitch_common.db.queries.sizes import select_size_history
from cartsnitch_common.recording import record_purchase
from tests.integration.queries.a_million import MILK, PRODUCT, STORE, Plans, fill, reads_in_whole

MODES = ("force_custom_plan", "force_generic_plan")
TODAY = dt.date(2025, 12, 31)
WEEK = dt.date(2025, 12, 25)


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


def plan(connection: psycopg.Connection[Any], query: Select[Any], mode: str) -> str:
    """The plan of a statement that is prepared, as asyncpg prepares it."""
    compiled = query.compile(dialect=asyncpg.dialect(), compile_kwargs={"render_postcompile": True})
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    arguments = sql.SQL(", ").join(map(sql.Literal, values))
    connection.execute(sql.SQL("SET plan_cache_mode = {}").format(sql.Literal(mode)))
    connection.execute(f"PREPARE asked AS {compiled.string}")
    found = connection.execute(sql.SQL("EXPLAIN EXECUTE asked ({})").format(arguments)).fetchall()
    connection.execute("DEALLOCATE asked")
    return "\n".join(line for (line,) in found)


QUERIES: dict[str, tuple[Select[Any], str]] = {
    "a latest price": (
        select_latest_prices([PRODUCT], store_id=STORE),
        "ix_price_history_series",
    ),
    "the latest prices at each store": (
        select_latest_prices([PRODUCT] * 20),
        "ix_price_history_series",
    ),
    "the prices of a day": (
        select_latest_prices([PRODUCT], store_id=STORE, until=WEEK),
        "ix_price_history_series",
    ),
    "a page of a series": (
        select_price_history(PRODUCT, store_id=STORE, after=(WEEK, PRODUCT)),
        "ix_price_history_series",
    ),
    "a page of a product": (
        select_price_history(PRODUCT, since=WEEK, until=TODAY),
        "ix_price_history_series",
    ),
    "increases of a week": (
        select_price_increases(WEEK),
        "ix_price_history_store_id_observed_date",
    ),
    "increases of a week at a store": (
        select_price_increases(WEEK, store_id=STORE),
        "ix_price_history_store_id_observed_date",
    ),
    "increases of a product": (
        select_price_increases(WEEK, product_id=PRODUCT),
        "ix_price_history_series",
    ),
    "coupons": (select_active_coupons(TODAY), "ix_coupons_store_id_valid_to"),
    "coupons of a store": (
        select_active_coupons(TODAY, store_id=STORE, after=PRODUCT),
        "ix_coupons_store_id_valid_to",
    ),
    "coupons of a product": (
        select_active_coupons(TODAY, product_id=PRODUCT),
        "ix_coupons_normalized_product_id",
    ),
    "coupons of a product or the basket": (
        select_active_coupons(TODAY, store_id=STORE, product_id=PRODUCT, basket=True),
        "ix_coupons_store_id_valid_to",
    ),
    "a page of a user's purchases": (
        select_purchases("user-7", after=(WEEK, PRODUCT)),
        "ix_purchases_user_id_purchase_date_id",
    ),
    "a page of the sizes of a product": (
        select_size_history(PRODUCT, after=(WEEK, PRODUCT), limit=100),
        "ix_purchase_items_normalized_product_id",
    ),
    "a page of the sizes of a product on many receipts": (
        select_size_history(MILK, after=(WEEK, PRODUCT), limit=100),
        "ix_purchase_items_normalized_product_id",
    ),
    "the sizes of a week at a store": (
        select_size_history(MILK, store_id=STORE, since=WEEK, until=TODAY),
        "ix_purchase_items_normalized_product_id",
    ),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", QUERIES)
def test_no_query_reads_a_whole_table(
    million: psycopg.Connection[Any], name: str, mode: str
) -> None:
    """The index serves, also once the statement has run often and has one plan for all values."""
    query, index = QUERIES[name]
    found = plan(million, query, mode)
    assert index in found, found
    assert not reads_in_whole(found), found


@pytest.mark.parametrize("mode", MODES)
def test_a_stores_prices_are_read_from_the_kept_table(
    million: psycopg.Connection[Any], mode: str
) -> None:
    """Its key gives the store's rows in their order; the history is not touched."""
    found = plan(million, select_current_prices(STORE, after=PRODUCT, limit=50), mode)
    assert "Index Scan using pk_current_prices" in found
    assert "Sort" not in found
    assert "price_history" not in found


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
