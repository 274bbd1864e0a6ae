"""A purchase and its events in one round trip: which store, and which locks in which order."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch.catalog.v1 import StoreSlug as StoreNumber
from cartsnitch.event.v1 import MatchMethod
from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import PriceSource, Service, StoreSlug
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.seed import STORES
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.events import decode, payload_of
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.recording import Match, record_purchase
from tests.event_payloads import prices
from tests.rows import Rows

KROGER = STORES[1]


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = async_engine(Settings.load(database_url=database))
    yield engine
    await engine.dispose()


def of(rows: Rows, store: uuid.UUID) -> Purchase:
    """A purchase of one product."""
    purchase = Purchase(
        user_id=rows.the("users"),
        store_id=str(store),
        receipt_id="r-1",
        purchase_date=to_date(dt.date(2026, 3, 10)),
        total=to_money(Decimal(1)),
    )
    purchase.ingest_time.GetCurrentTime()
    purchase.items.add(
        product_name_raw="BANANAS",
        quantity=to_decimal(1),
        unit_price=to_money(1),
        extended_price=to_money(1),
        normalized_product_id=str(rows.the("normalized_products")),
    )
    return purchase


async def payloads(session: AsyncSession) -> list[Any]:
    query = select(models.OutboxEvent.envelope).order_by(models.OutboxEvent.id)
    return [payload_of(decode(data)) for data in await session.scalars(query)]


@pytest.mark.parametrize(
    ("store", "slug", "trips"),
    [
        (KROGER.id, StoreSlug.KROGER, 1),
        (KROGER.id, StoreSlug.TARGET, 2),
        (uuid.UUID(int=7), StoreSlug.TARGET, 2),
    ],
)
async def test_the_events_name_the_retailer_that_the_database_names(
    engine: AsyncEngine, rows: Rows, store: uuid.UUID, slug: StoreSlug, trips: int
) -> None:
    """Of a store of every installation it is known; what turns out wrong is written again."""
    rows.add("stores", id=store, slug=slug)
    statements: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def count(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    async with async_sessions(engine).begin() as session:
        assert (await record_purchase(session, of(rows, store))).is_new
    assert len(statements) == trips
    async with async_sessions(engine)() as session:
        found = await payloads(session)
    assert [payload.store for payload in found] == [
        StoreNumber.Value(f"STORE_SLUG_{slug.upper()}")
    ] * 3


async def test_what_the_session_holds_back_is_written_first(
    engine: AsyncEngine, rows: Rows
) -> None:
    """A parent that was added to the session is there, as for any query of it."""
    purchase = of(rows, rows.the("stores"))
    product = models.NormalizedProduct(canonical_name="Ripe bananas")
    product.id = uuid.UUID(int=9)
    purchase.items[0].normalized_product_id = str(product.id)
    async with async_sessions(engine).begin() as session:
        session.add(product)
        assert (await record_purchase(session, purchase)).is_new


@pytest.mark.parametrize("confidence", [Decimal(2), Decimal(2) / 3])
async def test_an_event_that_is_refused_is_told_before_anything_is_written(
    rows: Rows, confidence: Decimal
) -> None:
    """There is no database behind this session."""
    nowhere = async_engine(Settings.load(database_url="postgresql://nobody@127.0.0.1:1/nothing"))
    matches = {0: Match(method=MatchMethod.MATCH_METHOD_NAME, confidence=confidence)}
    with pytest.raises(InvalidFieldError, match="confidence"):
        async with async_sessions(nowhere).begin() as session:
            await record_purchase(session, of(rows, KROGER.id), matches=matches)


async def test_its_events_wait_for_those_of_their_keys(engine: AsyncEngine, rows: Rows) -> None:
    """Ids of one key ascend in the order of the commits, whoever writes the events."""
    purchase = of(rows, rows.the("stores"))
    other = prices(1)
    async with async_sessions(engine)() as first, async_sessions(engine)() as second:
        await enqueue(first, other, service=Service.RECEIPTWITNESS, key=purchase.store_id)
        recording = asyncio.create_task(record_purchase(second, purchase))
        await asyncio.sleep(0.2)
        assert not recording.done()
        await enqueue(first, other, service=Service.RECEIPTWITNESS, key=purchase.store_id)
        await first.commit()
        await recording
        await second.commit()
    async with async_sessions(engine)() as session:
        found = await payloads(session)
    assert [payload == other for payload in found] == [True, True, False, False, False]


async def test_its_prices_are_locked_before_its_events(engine: AsyncEngine, rows: Rows) -> None:
    """Whoever writes prices and then an event of them never waits in a circle with it."""
    store, product = rows.the("stores"), rows.the("normalized_products")
    purchase = of(rows, store)
    async with async_sessions(engine)() as first, async_sessions(engine)() as second:
        first.add(
            models.PriceHistory(
                normalized_product_id=product,
                store_id=store,
                observed_date=dt.date(2026, 3, 9),
                regular_price=Decimal(2),
                source=PriceSource.CATALOG,
            )
        )
        await first.flush()
        recording = asyncio.create_task(record_purchase(second, purchase))
        await asyncio.sleep(0.2)
        assert not recording.done()
        await enqueue(first, prices(1), service=Service.RECEIPTWITNESS, key=purchase.store_id)
        await first.commit()
        assert (await recording).is_new
        await second.commit()
