from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
from sqlalchemy import select

from cartsnitch.event.v1 import MatchMethod, PricesUpdated, ProductsNormalized, ReceiptsIngested
from cartsnitch.purchase.v1 import Purchase
from cartsnitch.type.v1 import Money
from cartsnitch_common.contract.scalars import to_money
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.purchases import with_items
from cartsnitch_common.events import decode
from cartsnitch_common.recording import Match
from tests.integration.queries.receipts import DAY, Sessions, events, record
from tests.rows import Rows


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


async def test_a_weighed_line_has_no_observed_size(sessions: Sessions, purchase: Purchase) -> None:
    """A quantity that is no number of pieces makes the printed weight no package's."""
    purchase.items[0].product_name_raw = "GRAPES 2 LB"
    purchase.items[0].quantity.value = "2.31"
    await record(sessions, purchase)
    (match, *_) = [
        match
        for _, event in await events(sessions)
        if isinstance(event, ProductsNormalized)
        for match in event.matches
    ]
    assert not match.HasField("observed_size")
    assert not match.HasField("observed_size_unit")


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
