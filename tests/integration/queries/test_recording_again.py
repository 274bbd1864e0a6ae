"""A receipt is recorded once, whoever brings it again, and a bad one not at all."""

from __future__ import annotations

import asyncio
import uuid
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.contract.scalars import to_money
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.purchases import with_items
from cartsnitch_common.errors import (
    ConstraintViolationError,
    InvalidFieldError,
    NotFoundError,
    ReceiptConflictError,
)
from cartsnitch_common.recording import RecordedPurchase, record_purchase
from tests.integration.queries.receipts import Sessions, changed, counts, record
from tests.rows import NOTHING, Rows

# -- once only -----------------------------------------------------------------


async def test_the_same_receipt_again_changes_nothing(
    sessions: Sessions, purchase: Purchase
) -> None:
    """Read later, elsewhere, matched otherwise, with ids of its own: it is answered as recorded."""
    first = await record(sessions, purchase)
    before = await counts(sessions)
    again = changed(purchase)
    again.id = str(uuid.UUID(int=5))
    again.ingest_time.seconds += 1000
    again.source_url = "https://a.example/the-same-receipt"
    again.items[0].ClearField("normalized_product_id")
    again.items[1].quantity.value = "0.7550"
    second = await record(sessions, again)
    assert second == RecordedPurchase(purchase=first.purchase, is_new=False)
    assert await counts(sessions) == before == [1, 3, 1, 3]


@pytest.mark.parametrize("first", ["store_location_id", ""])
async def test_a_shop_that_one_reading_does_not_know_is_no_contradiction(
    sessions: Sessions, purchase: Purchase, first: str
) -> None:
    """It is matched by its address, as products are: what is recorded stays as it is."""
    one, other = changed(purchase), changed(purchase)
    (one if first else other).ClearField("store_location_id")
    recorded = await record(sessions, one)
    again = await record(sessions, other)
    assert again == RecordedPurchase(purchase=recorded.purchase, is_new=False)


async def test_what_is_recorded_is_read_anew(
    sessions: Sessions, purchase: Purchase, rows: Rows
) -> None:
    """A session that goes on after a commit holds old rows, and is answered with the new ones."""
    await record(sessions, purchase)
    product = str(rows.the("normalized_products"))
    async with sessions() as session:
        held = (await session.scalars(with_items(select(models.Purchase)))).one()
        await session.commit()
        rows.connection.execute("UPDATE purchases SET total = 1")
        rows.connection.execute("UPDATE purchase_items SET normalized_product_id = %s", [product])
        purchase.total.CopyFrom(to_money(1))
        found = await record_purchase(session, purchase)
        assert not found.is_new
        assert {item.normalized_product_id for item in found.purchase.items} == {product}
        assert held.total == Decimal("9.42")


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


@pytest.mark.parametrize("field", ["store_location_id", "user_id"])
async def test_a_receipt_of_another_shop_or_user_is_another(
    sessions: Sessions, purchase: Purchase, rows: Rows, field: str
) -> None:
    """Though the paper does not print an id: nobody is answered with the purchase of another."""
    await record(sessions, purchase)
    other = {
        "store_location_id": rows.add("store_locations", address="2 B St"),
        "user_id": rows.add("users", email="other@parent.example"),
    }
    setattr(purchase, field, str(other[field]))
    with pytest.raises(ReceiptConflictError) as refused:
        await record(sessions, purchase)
    assert refused.value.field == field


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
