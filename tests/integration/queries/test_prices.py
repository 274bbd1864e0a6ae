from __future__ import annotations

import datetime as dt
import itertools
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.convert import fetch_messages, to_message
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.models import PriceHistory
from cartsnitch_common.db.queries.increases import PriceIncrease, price_increases
from cartsnitch_common.db.queries.prices import (
    effective_price,
    latest_price,
    latest_prices,
    price_history,
    select_current_prices,
    select_latest_prices,
    select_price_history,
)
from tests.rows import NOTHING, Rows

FIRST = dt.date(2026, 3, 1)
DAYS = 12
PRODUCTS = 5


@dataclass(frozen=True)
class Seen:
    """A row of the price history, as Python sees it."""

    product: uuid.UUID
    store: uuid.UUID
    day: dt.date
    id: uuid.UUID
    price: Decimal

    @property
    def at(self) -> tuple[dt.date, uuid.UUID]:
        """Its place in event time."""
        return self.day, self.id


@dataclass(frozen=True)
class World:
    """What is in the shared database."""

    url: str
    stores: list[uuid.UUID]
    products: list[uuid.UUID]
    seen: list[Seen]

    def of(self, product: uuid.UUID, store: uuid.UUID | None = None) -> list[Seen]:
        """A product's prices in event time."""
        rows = [row for row in self.seen if row.product == product and store in {None, row.store}]
        return sorted(rows, key=lambda row: row.at)


@pytest.fixture(scope="module")
def world(shared_database: str) -> World:
    """Prices in the order of chance: late receipts, several a day, prices that fall and rise."""
    chance = random.Random("prices")  # noqa: S311 - the same rows each time
    with psycopg.connect(shared_database) as connection:
        rows = Rows(connection)
        stores = sorted(rows.add("stores", slug=slug) for slug in ("meijer", "kroger", "target"))
        products = [rows.add("normalized_products") for _ in range(PRODUCTS)]
        seen = []
        for _ in range(400):
            row = Seen(
                product=chance.choice(products[:-1]),  # the last has no price
                store=chance.choice(stores[:-1]),
                day=FIRST + dt.timedelta(days=chance.randrange(DAYS)),
                id=uuid.UUID(int=chance.getrandbits(128)),
                price=Decimal(chance.randrange(0, 5)),
            )
            seen.append(row)
            rows.add(
                "price_history",
                id=row.id,
                normalized_product_id=row.product,
                store_id=row.store,
                observed_date=row.day,
                regular_price=row.price,
            )
    return World(shared_database, stores, products, seen)


@pytest.fixture
async def session(world: World) -> AsyncIterator[AsyncSession]:
    engine = async_engine(Settings.load(database_url=world.url))
    async with async_sessions(engine)() as session:
        yield session
    await engine.dispose()


# -- the latest ----------------------------------------------------------------


@pytest.mark.parametrize("until", [None, FIRST, FIRST + dt.timedelta(days=5), dt.date.min])
@pytest.mark.parametrize("place", [0, 2, None])
async def test_the_latest_is_the_last_in_event_time(
    world: World, session: AsyncSession, place: int | None, until: dt.date | None
) -> None:
    """Of each product in the order that was asked for, at a store or at each, on any day."""
    asked = [world.products[2], world.products[4], world.products[0], uuid.UUID(NOTHING)]
    stores = world.stores if place is None else [world.stores[place]]
    expected = []
    for product, store in itertools.product(asked, stores):
        rows = [row for row in world.of(product, store) if until is None or row.day <= until]
        expected += [row.id for row in rows[-1:]]
    store = None if place is None else stores[0]
    found = await latest_prices(session, asked, store_id=store, until=until)
    assert [row.id for row in found] == expected
    if store is not None:
        one = await latest_price(session, asked[0], store, until=until)
        assert [row.id for row in [one] if row] == [
            row.id for row in found if row.normalized_product_id == asked[0]
        ]


async def test_the_latest_of_nothing_is_nothing(session: AsyncSession) -> None:
    """No products, no prices."""
    assert await latest_prices(session, []) == []


# -- the history ---------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("place", [0, None])
async def test_pages_of_the_history_are_the_history(
    world: World, session: AsyncSession, place: int | None, limit: int
) -> None:
    """Page by page every observation comes once, in event time, corrected ones among them."""
    store = None if place is None else world.stores[place]
    product = world.products[1]
    found: list[Any] = []
    after = None
    while page := await price_history(session, product, store_id=store, after=after, limit=limit):
        found += page
        after = page[-1].position
    assert [point.price.id for point in found] == [row.id for row in world.of(product, store)]


async def test_the_history_keeps_to_its_days(world: World, session: AsyncSession) -> None:
    """Both bounds belong to the days."""
    since, until = FIRST + dt.timedelta(days=3), FIRST + dt.timedelta(days=6)
    product = world.products[0]
    found = await price_history(session, product, since=since, until=until, limit=1000)
    expected = [row.id for row in world.of(product) if since <= row.day <= until]
    assert [point.price.id for point in found] == expected
    assert expected


async def test_the_effective_price_is_the_lowest_that_applies(rows: Rows, database: str) -> None:
    """Regular and sale price for everybody, the others for who has the card or the coupon."""
    rows.add(
        "price_history",
        regular_price=4,
        sale_price="3.5",
        loyalty_price="2.9999",
        coupon_price="2",
    )
    engine = async_engine(Settings.load(database_url=database))
    async with async_sessions(engine)() as session:
        point = (await price_history(session, rows.the("normalized_products")))[0]
        assert point.effective_price == 2
        assert point.position == (point.price.observed_date, point.price.id)
        for loyalty, coupon, expected in [
            (True, False, "2.9999"),
            (False, True, "2"),
            (False, False, "3.5"),
        ]:
            price = effective_price(loyalty=loyalty, coupon=coupon)
            assert await session.scalar(select(price)) == Decimal(expected)
        rows.connection.execute(
            "UPDATE price_history SET sale_price = NULL, loyalty_price = NULL, coupon_price = NULL"
        )
        assert await session.scalar(select(effective_price())) == 4
    await engine.dispose()


async def test_what_is_read_becomes_messages(world: World, session: AsyncSession) -> None:
    """The fast path composes with every query, whatever it reads from, and says the same."""
    store, product = world.stores[0], world.products[1]
    for query in (
        select_latest_prices(world.products, store_id=store),
        select_latest_prices(world.products, until=FIRST + dt.timedelta(days=4)),
        select_current_prices(store),
        select_price_history(product, store_id=store, limit=9),
        select_price_history(product, since=FIRST, limit=9),
    ):
        found = list(await session.scalars(query))
        assert all(isinstance(row, PriceHistory) for row in found)
        assert await fetch_messages(session, query) == [to_message(row) for row in found]
        assert found


# -- increases -----------------------------------------------------------------


def rises(world: World, since: dt.date) -> list[PriceIncrease]:
    """The same in Python: of each day the last, beside the day before that has any."""
    found = []
    for product, store in itertools.product(world.products, world.stores):
        days = {row.day: row for row in world.of(product, store)}  # the last of a day stays
        for before, now in itertools.pairwise(days.values()):
            if now.price > before.price and now.day >= since:
                found.append(
                    PriceIncrease(
                        normalized_product_id=product,
                        store_id=store,
                        previous_price=before.price,
                        current_price=now.price,
                        previous_date=before.day,
                        current_date=now.day,
                        price_observation_id=now.id,
                    )
                )
    return sorted(found, key=lambda rise: rise.position)


@pytest.mark.parametrize("limit", [1, 5, None])
@pytest.mark.parametrize("days", [0, 1, 6, DAYS])
async def test_increases_are_rises_between_days(
    world: World, session: AsyncSession, days: int, limit: int | None
) -> None:
    """All of them, in order, in pages of any size: each day's last price beside the day before."""
    since = FIRST + dt.timedelta(days=days)
    found: list[PriceIncrease] = []
    after = None
    while page := await price_increases(session, since, after=after, limit=limit):
        found += page
        after = page[-1].position
    assert found == rises(world, since)
    assert found or days == DAYS


async def test_increases_of_one_product_or_store(world: World, session: AsyncSession) -> None:
    """The filters leave what they name, unchanged."""
    everything = rises(world, FIRST)
    for product, store in itertools.product([None, *world.products], [None, *world.stores]):
        found = await price_increases(
            session, FIRST, product_id=product, store_id=store, limit=None
        )
        assert found == [
            rise
            for rise in everything
            if product in {None, rise.normalized_product_id} and store in {None, rise.store_id}
        ]


async def test_a_late_old_receipt_raises_nothing_backwards(rows: Rows, database: str) -> None:
    """A dearer price of long ago, recorded today, is no increase over what came after it."""
    engine = async_engine(Settings.load(database_url=database))
    series = {
        "store_id": rows.the("stores"),
        "normalized_product_id": rows.the("normalized_products"),
    }
    rows.add("price_history", **series, observed_date="2026-03-10", regular_price=2)
    rows.add("price_history", **series, observed_date="2020-01-01", regular_price=9)
    async with async_sessions(engine)() as own:
        assert await price_increases(own, dt.date(2019, 1, 1)) == []
        rows.add("price_history", **series, observed_date="2019-06-01", regular_price=8)
        found = await price_increases(own, dt.date(2019, 1, 1))
    assert [(rise.previous_price, rise.current_price) for rise in found] == [(8, 9)]
    await engine.dispose()


@pytest.mark.parametrize(
    ("before", "now", "ratio"),
    [("0", "1", None), ("8", "9", "0.125"), ("3", "4", "0.3333"), ("1", "1.00005", "0.0000")],
)
def test_the_ratio_is_rounded_half_to_even(before: str, now: str, ratio: str | None) -> None:
    """As the contract says; none where the price before was zero."""
    rise = PriceIncrease(
        normalized_product_id=uuid.UUID(NOTHING),
        store_id=uuid.UUID(NOTHING),
        previous_price=Decimal(before),
        current_price=Decimal(now),
        previous_date=FIRST,
        current_date=FIRST,
        price_observation_id=uuid.UUID(NOTHING),
    )
    assert rise.ratio == (None if ratio is None else Decimal(ratio))
