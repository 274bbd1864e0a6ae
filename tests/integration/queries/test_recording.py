from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch.event.v1 import MatchMethod, PricesUpdated, ProductsNormalized, ReceiptsIngested
from cartsnitch.purchase.v1 import Purchase
from cartsnitch.type.v1 import Money
from cartsnitch_common.config import Settings
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money, to_timestamp
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.purchases import with_items
from cartsnitch_common.errors import (
    ConstraintViolationError,
    InvalidFieldError,
    NotFoundError,
    ReceiptConflictError,
)
from cartsnitch_common.events import decode, payload_of
from cartsnitch_common.recording import Match, RecordedPurchase, record_purchase
from tests.rows import NOTHING, Rows

type Sessions = async_sessionmaker[AsyncSession]

DAY = dt.date(2026, 3, 10)
WRITTEN = (models.Purchase, models.PurchaseItem, models.PriceHistory, models.OutboxEvent)


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


async def record(sessions: Sessions, purchase: Purchase, **more: Any) -> RecordedPurchase:
    async with sessions.begin() as session:
        return await record_purchase(session, purchase, **more)


async def counts(sessions: Sessions) -> list[int]:
    async with sessions() as session:
        return [
            await session.scalar(select(func.count()).select_from(model)) or 0 for model in WRITTEN
        ]


async def events(sessions: Sessions) -> list[Any]:
    async with sessions() as session:
        rows = await session.scalars(select(models.OutboxEvent).order_by(models.OutboxEvent.id))
        return [(row.key, payload_of(decode(row.envelope))) for row in rows]


def changed(purchase: Purchase) -> Purchase:
    other = Purchase()
    other.CopyFrom(purchase)
    return other


# -- once, with everything -----------------------------------------------------


async def test_a_purchase_is_written_with_its_items(sessions: Sessions, purchase: Purchase) -> None:
    """What is answered is what is read back; ids are made, in the order of the lines."""
    before = purchase.SerializeToString(deterministic=True)
    recorded = await record(sessions, purchase, raw_data={"shop": "data"})
    assert purchase.SerializeToString(deterministic=True) == before
    async with sessions() as session:
        row = (await session.scalars(with_items(select(models.Purchase)))).one()
        raw = await session.scalar(select(models.Purchase.raw_data))
    assert recorded.is_new
    assert to_message(row) == recorded.purchase
    assert recorded.purchase_id == row.id
    assert raw == {"shop": "data"}
    ids = [item.id for item in recorded.purchase.items]
    assert ids == sorted(ids)
    assert [item.quantity.value for item in recorded.purchase.items] == ["3", "0.755", "-1"]


async def test_a_matched_line_that_was_bought_shows_its_prices(
    sessions: Sessions, purchase: Purchase
) -> None:
    """One observation: discounts are taken off a unit; a return and an unmatched line show none."""
    recorded = await record(sessions, purchase)
    async with sessions() as session:
        row = (await session.scalars(select(models.PriceHistory))).one()
    (observation,) = recorded.observations
    assert to_message(row) == observation
    assert row.regular_price == Decimal("2.99")
    assert row.sale_price == Decimal("2.50")
    assert row.coupon_price == Decimal("2.1667")
    assert row.loyalty_price == Decimal("2.3333")
    assert row.observed_date == DAY
    assert str(row.purchase_item_id) == recorded.purchase.items[0].id


@pytest.mark.parametrize(
    ("discount", "price"), [("0", "2.5"), ("9.99", "0"), ("-1", None), (None, None)]
)
async def test_a_discount_never_raises_a_price_nor_sinks_it_below_zero(
    sessions: Sessions, purchase: Purchase, discount: str | None, price: str | None
) -> None:
    """One that is taken back is none."""
    item = purchase.items[0]
    item.ClearField("coupon_discount")
    item.ClearField("regular_price")
    if discount is not None:
        item.coupon_discount.CopyFrom(to_money(Decimal(discount)))
    (observation,) = (await record(sessions, purchase)).observations
    assert observation.regular_price == to_money(Decimal("2.5"))
    assert observation.coupon_price == (Money() if price is None else to_money(Decimal(price)))


async def test_deltas_are_against_the_day_before_in_event_time(
    sessions: Sessions, purchase: Purchase, rows: Rows
) -> None:
    """Not against a later day, another store, or what the same receipt says."""
    kroger = rows.add("stores", slug="kroger")
    for day, price, more in [
        ("2026-03-01", "2.00", {}),
        ("2026-03-01", "2.49", {"id": uuid.UUID(int=(1 << 128) - 1)}),  # corrects the one before
        ("2026-03-10", "8.00", {}),
        ("2026-03-20", "9.00", {}),
        ("2026-03-09", "7.00", {"store_id": kroger}),
    ]:
        rows.add("price_history", observed_date=day, regular_price=price, **more)
    again = purchase.items.add()
    again.CopyFrom(purchase.items[0])
    again.regular_price.CopyFrom(to_money(Decimal("2.39")))
    deltas = (await record(sessions, purchase)).deltas
    assert [(delta.previous_price, delta.previous_date) for delta in deltas] == [
        (Decimal("2.49"), dt.date(2026, 3, 1))
    ] * 2
    assert [delta.change for delta in deltas] == [Decimal("0.50"), Decimal("-0.10")]


async def test_a_first_price_has_no_change(sessions: Sessions, purchase: Purchase) -> None:
    """None before, none to compare with."""
    (delta,) = (await record(sessions, purchase)).deltas
    assert (delta.previous_price, delta.previous_date, delta.change) == (None, None, None)


async def test_the_events_are_written_with_it(sessions: Sessions, purchase: Purchase) -> None:
    """What was recorded, what was matched and which prices are new, each with its key."""
    bought = purchase.items.add()
    bought.CopyFrom(purchase.items[0])
    bought.upc = "4011"
    named = {2: Match(method=MatchMethod.MATCH_METHOD_NAME, confidence=Decimal("0.75"))}
    recorded = await record(sessions, purchase, matches=named, correlation_id="sync-7")
    (user, ingested), (store, normalized), (same, updated) = await events(sessions)
    assert isinstance(ingested, ReceiptsIngested)
    assert isinstance(normalized, ProductsNormalized)
    assert isinstance(updated, PricesUpdated)
    assert (user, store, same) == (purchase.user_id, purchase.store_id, purchase.store_id)
    (receipt,) = ingested.receipts
    assert (receipt.purchase_id, receipt.item_count) == (recorded.purchase.id, 4)
    assert [(match.method, match.confidence.value) for match in normalized.matches] == [
        (MatchMethod.MATCH_METHOD_GTIN, "1"),
        (MatchMethod.MATCH_METHOD_NAME, "0.75"),
        (MatchMethod.MATCH_METHOD_PLU, "1"),
    ]
    assert normalized.matches[0].observed_size == "64"
    assert normalized.matches[0].shelf_price == to_money(Decimal("2.99"))
    assert tuple(updated.observations) == recorded.observations
    async with sessions() as session:
        envelopes = [
            decode(data) for data in await session.scalars(select(models.OutboxEvent.envelope))
        ]
    assert {envelope.correlation_id for envelope in envelopes} == {"sync-7"}


async def test_nothing_matched_says_nothing_of_products(
    sessions: Sessions, purchase: Purchase
) -> None:
    """A receipt of unknown lines is one event."""
    for item in purchase.items:
        item.ClearField("normalized_product_id")
    recorded = await record(sessions, purchase)
    assert recorded.observations == recorded.deltas == ()
    assert [type(payload) for _, payload in await events(sessions)] == [ReceiptsIngested]


# -- once only -----------------------------------------------------------------


async def test_the_same_receipt_again_changes_nothing(
    sessions: Sessions, purchase: Purchase
) -> None:
    """Read later, matched otherwise, with ids of its own: it is answered as recorded."""
    first = await record(sessions, purchase)
    before = await counts(sessions)
    again = changed(purchase)
    again.id = str(uuid.UUID(int=5))
    again.ingest_time.seconds += 1000
    again.items[0].ClearField("normalized_product_id")
    again.items[1].quantity.value = "0.7550"
    second = await record(sessions, again)
    assert second == RecordedPurchase(purchase=first.purchase, is_new=False)
    assert await counts(sessions) == before == [1, 3, 1, 3]


def cheaper(purchase: Purchase) -> str:
    purchase.total.units -= 1
    return "total"


def renamed(purchase: Purchase) -> str:
    purchase.items[1].product_name_raw = "OTHER"
    return "items[1].product_name_raw"


def shorter(purchase: Purchase) -> str:
    del purchase.items[2]
    return "items"


def taxed(purchase: Purchase) -> str:
    purchase.tax.CopyFrom(to_money(Decimal(0)))
    return "tax"


@pytest.mark.parametrize("change", [cheaper, renamed, shorter, taxed])
async def test_another_receipt_of_the_same_number_is_refused(
    sessions: Sessions, purchase: Purchase, change: Any
) -> None:
    """The field is named, and nothing is written."""
    await record(sessions, purchase)
    before = await counts(sessions)
    other = changed(purchase)
    field = change(other)
    with pytest.raises(ReceiptConflictError) as refused:
        await record(sessions, other)
    assert (refused.value.field, refused.value.receipt_id) == (field, "r-1")
    assert await counts(sessions) == before


async def test_one_number_at_two_stores_is_two_receipts(
    sessions: Sessions, purchase: Purchase, rows: Rows
) -> None:
    """A number is unique within its store only."""
    await record(sessions, purchase)
    purchase.store_id = str(rows.add("stores", slug="kroger"))
    purchase.ClearField("store_location_id")
    assert (await record(sessions, purchase)).is_new


async def test_of_writers_at_once_one_records(sessions: Sessions, purchase: Purchase) -> None:
    """Eight transactions with one receipt: one is new, all get the same purchase."""
    found = await asyncio.gather(*(record(sessions, purchase) for _ in range(8)))
    assert sorted(recorded.is_new for recorded in found) == [False] * 7 + [True]
    assert len({recorded.purchase.id for recorded in found}) == 1
    assert await counts(sessions) == [1, 3, 1, 3]


async def test_a_writer_waits_for_one_that_gives_up(sessions: Sessions, purchase: Purchase) -> None:
    """The second waits for the end of the first, and records what that has rolled back."""
    async with sessions() as session:
        assert (await record_purchase(session, purchase)).is_new
        second = asyncio.create_task(record(sessions, purchase))
        await asyncio.sleep(0.1)
        assert not second.done()
        await session.rollback()
        assert (await second).is_new
    assert await counts(sessions) == [1, 3, 1, 3]


async def test_receipts_with_the_same_products_never_deadlock(
    sessions: Sessions, purchase: Purchase, rows: Rows
) -> None:
    """Writers of many receipts with the same lines in other orders all succeed."""
    products = [str(rows.add("normalized_products")) for _ in range(12)]

    def of(number: int) -> Purchase:
        made = changed(purchase)
        made.receipt_id = f"many-{number}"
        del made.items[1:]
        for _ in range(11):
            made.items.add().CopyFrom(made.items[0])
        for k, item in enumerate(made.items):
            item.normalized_product_id = products[(k * (number * 2 % 11 or 1) + number) % 12]
        return made

    found = await asyncio.gather(*(record(sessions, of(number)) for number in range(24)))
    assert all(recorded.is_new for recorded in found)


# -- bad input -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda p: p.ClearField("total"), "total"),
        (lambda p: p.ClearField("items"), "items"),
        (lambda p: p.ClearField("store_id"), "store_id"),
        (lambda p: setattr(p, "store_id", "no id"), "store_id"),
        (lambda p: setattr(p, "user_id", "a\0b"), "user_id"),
        (lambda p: setattr(p, "receipt_id", "r" * 129), "receipt_id"),
        (lambda p: setattr(p.total, "units", 10**10), "total.units"),
        (lambda p: setattr(p.total, "currency_code", "EUR"), "total"),
        (lambda p: setattr(p.items[1].quantity, "value", "1.0001"), "items[1].quantity"),
        (lambda p: setattr(p.items[1].unit_price, "nanos", 1), "items[1].unit_price"),
        (lambda p: setattr(p.items[2], "product_name_raw", "a\0"), "items[2].product_name_raw"),
        (lambda p: setattr(p.items[1], "purchase_id", NOTHING), "items[1].purchase_id"),
        (
            lambda p: [setattr(item, "id", NOTHING) for item in p.items],
            "items[1].id",
        ),
    ],
)
async def test_a_bad_field_is_named_before_any_sql(
    purchase: Purchase, change: Any, field: str
) -> None:
    """One error with the field's path; there is no database behind this session."""
    change(purchase)
    nowhere = async_sessions(
        async_engine(Settings.load(database_url="postgresql://nobody@127.0.0.1:1/nothing"))
    )
    with pytest.raises(InvalidFieldError) as refused:
        await record(nowhere, purchase)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda p, _: setattr(p, "store_id", NOTHING), "store_id"),
        (lambda p, _: setattr(p, "store_location_id", NOTHING), "store_location_id"),
        (lambda p, other: setattr(p, "store_id", other), "store_location_id"),
        (lambda p, _: setattr(p, "user_id", "nobody"), "user_id"),
        (
            lambda p, _: setattr(p.items[2], "normalized_product_id", NOTHING),
            "items[2].normalized_product_id",
        ),
    ],
)
async def test_a_missing_parent_is_named(
    sessions: Sessions, purchase: Purchase, rows: Rows, change: Any, field: str
) -> None:
    """A store, a shop of another store, a user, a product: the field, and not one row."""
    change(purchase, str(rows.add("stores", slug="kroger")))
    with pytest.raises(NotFoundError) as refused:
        await record(sessions, purchase)
    assert refused.value.field == field
    assert await counts(sessions) == [0, 0, 0, 0]


async def test_another_constraint_stays_what_it_is(sessions: Sessions, purchase: Purchase) -> None:
    """An id that is taken is told by the constraint's name."""
    first = await record(sessions, purchase)
    purchase.receipt_id = "r-2"
    purchase.items[0].id = first.purchase.items[0].id
    del purchase.items[1:]
    with pytest.raises(ConstraintViolationError, match="pk_purchase_items"):
        await record(sessions, purchase)
