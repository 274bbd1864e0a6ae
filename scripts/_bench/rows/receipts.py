"""A receipt of 20 items recorded with what follows from it, against the ORM."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from _bench.comparison import Comparison, Direction, Sides
from _bench.databases import open_driver, open_session, price_database
from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.constants import EventType, PriceSource
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.db import models
from cartsnitch_common.db.seed import STORES
from cartsnitch_common.recording import record_purchase
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from _bench.world import World

    type Receipt = tuple[dict[str, Any], list[dict[str, Any]]]
    type Record = Callable[[AsyncSession, Receipt], Awaitable[None]]

_PRICES: Final = 100_000
_ITEMS: Final = 20
_RECEIPTS: Final = 50
_USER: Final = "a-buyer"
_STORE: Final = STORES[0].id
_DAY: Final = dt.date(2026, 1, 2)
_PRICE: Final = Decimal("3.49")
_EVENTS: Final = (
    EventType.RECEIPTS_INGESTED,
    EventType.PRODUCTS_NORMALIZED,
    EventType.PRICES_UPDATED,
)

_numbers: Final = itertools.count(1)  # no receipt is recorded twice, whoever asks


def _message(products: list[uuid.UUID]) -> Purchase:
    purchase = Purchase(
        user_id=_USER,
        store_id=str(_STORE),
        receipt_id=f"receipt-{next(_numbers)}",
        purchase_date=to_date(_DAY),
        total=to_money(_PRICE * len(products)),
    )
    purchase.ingest_time.GetCurrentTime()
    for place, product in enumerate(products):
        purchase.items.add(
            product_name_raw=f"ITEM {place}",
            quantity=to_decimal(1),
            unit_price=to_money(_PRICE),
            extended_price=to_money(_PRICE),
            normalized_product_id=str(product),
        )
    return purchase


def _values(products: list[uuid.UUID]) -> Receipt:
    """The same as columns: the rival converts nothing and checks nothing."""
    purchase = {
        "id": new_uuid(),
        "user_id": _USER,
        "store_id": _STORE,
        "receipt_id": f"by-hand-{next(_numbers)}",
        "purchase_date": _DAY,
        "total": _PRICE * len(products),
    }
    items = [
        {
            "id": new_uuid(),
            "purchase_id": purchase["id"],
            "product_name_raw": f"ITEM {place}",
            "quantity": Decimal(1),
            "unit_price": _PRICE,
            "extended_price": _PRICE,
            "normalized_product_id": product,
        }
        for place, product in enumerate(products)
    ]
    return purchase, items


def _price(item: dict[str, Any]) -> models.PriceHistory:
    return models.PriceHistory(
        normalized_product_id=item["normalized_product_id"],
        store_id=_STORE,
        observed_date=_DAY,
        regular_price=item["unit_price"],
        source=PriceSource.RECEIPT,
        purchase_item_id=item["id"],
    )


def _outbox(purchase: dict[str, Any], deltas: dict[str, str]) -> list[models.OutboxEvent]:
    return [
        models.OutboxEvent(
            event_id=new_uuid(),
            event_type=kind.value,
            key=_USER,
            envelope=json.dumps({"purchase": str(purchase["id"]), "deltas": deltas}).encode(),
        )
        for kind in _EVENTS
    ]


async def _is_recorded(session: AsyncSession, purchase: dict[str, Any]) -> bool:
    found = await session.scalar(
        select(models.Purchase.id).where(
            models.Purchase.store_id == purchase["store_id"],
            models.Purchase.receipt_id == purchase["receipt_id"],
        )
    )
    return found is not None


async def _row_by_row(session: AsyncSession, receipt: Receipt) -> None:
    """Each line by itself: the line, the price before, the price."""
    purchase, items = receipt
    if await _is_recorded(session, purchase):
        return
    session.add(models.Purchase(**purchase))
    await session.flush()
    deltas = {}
    for item in items:
        session.add(models.PurchaseItem(**item))
        await session.flush()
        before = await session.scalar(
            select(models.PriceHistory.regular_price)
            .where(
                models.PriceHistory.normalized_product_id == item["normalized_product_id"],
                models.PriceHistory.store_id == _STORE,
                models.PriceHistory.observed_date < _DAY,
            )
            .order_by(models.PriceHistory.observed_date.desc(), models.PriceHistory.id.desc())
            .limit(1)
        )
        deltas[str(item["id"])] = "" if before is None else str(item["unit_price"] - before)
        session.add(_price(item))
        await session.flush()
    session.add_all(_outbox(purchase, deltas))
    await session.commit()


async def _at_once(session: AsyncSession, receipt: Receipt) -> None:
    """What the ORM does best: the prices before in one query, everything in two flushes."""
    purchase, items = receipt
    if await _is_recorded(session, purchase):
        return
    rows = await session.execute(
        select(models.PriceHistory.normalized_product_id, models.PriceHistory.regular_price)
        .where(
            models.PriceHistory.normalized_product_id.in_(
                [item["normalized_product_id"] for item in items]
            ),
            models.PriceHistory.store_id == _STORE,
            models.PriceHistory.observed_date < _DAY,
        )
        .distinct(models.PriceHistory.normalized_product_id)
        .order_by(
            models.PriceHistory.normalized_product_id,
            models.PriceHistory.observed_date.desc(),
            models.PriceHistory.id.desc(),
        )
    )
    before = {row[0]: row[1] for row in rows}
    session.add(models.Purchase(**purchase))
    session.add_all(models.PurchaseItem(**item) for item in items)
    await session.flush()
    session.add_all(_price(item) for item in items)
    deltas = {
        str(item["id"]): str(item["unit_price"] - before[item["normalized_product_id"]])
        for item in items
        if item["normalized_product_id"] in before
    }
    session.add_all(_outbox(purchase, deltas))
    await session.commit()


def _against(record: Record) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        settings = await price_database(world, _PRICES)
        async with open_driver(settings) as driver:
            await driver.execute(
                "INSERT INTO users (id, email, hashed_password)"
                " VALUES ($1, 'buyer@example.com', 'none') ON CONFLICT DO NOTHING",
                _USER,
            )
            rows = await driver.fetch(
                "SELECT id FROM normalized_products ORDER BY hashtext(id::text) LIMIT $1",
                _ITEMS * _RECEIPTS,
            )
        ids = [row[0] for row in rows]
        baskets = [ids[i : i + _ITEMS] for i in range(0, len(ids), _ITEMS)]
        messages: list[Purchase] = []
        receipts: list[Receipt] = []
        async with open_session(settings) as session:

            async def ours() -> None:
                for message in messages:
                    await record_purchase(session, message)
                    await session.commit()

            async def rival() -> None:
                for receipt in receipts:
                    await record(session, receipt)

            async def renew() -> None:
                await session.reset()
                messages[:] = map(_message, baskets)
                receipts[:] = map(_values, baskets)

            await renew()
            yield Sides(ours=ours, rival=rival, units=len(baskets), after=renew)

    return prepare


ROWS = (
    Comparison(
        name="a receipt of 20 items recorded, with prices, deltas and events",
        rival="row by row through the ORM",
        goal=10,
        direction=Direction.TIMES_AS_FAST,
        prepare=_against(_row_by_row),
        note="with the commit; each side's input is ready; the rival checks no rule",
    ),
    Comparison(
        name="a receipt of 20 items recorded, with prices, deltas and events",
        rival="at once through the ORM",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_against(_at_once),
        note="with the commit; each side's input is ready; the rival checks no rule",
    ),
)
