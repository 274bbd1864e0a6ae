"""The services that react to a receipt, as the demonstration plays them.

Each is one consumer with its own group. In the platform StickerShock and ShrinkRay
ask PricingService and PurchaseService for what is not theirs; here they read it.
"""

from __future__ import annotations

import datetime as dt
import decimal
from typing import TYPE_CHECKING

from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert

from cartsnitch.event.v1 import (
    PriceIncreaseDetected,
    PricesUpdated,
    ProductMatch,
    ProductsNormalized,
    ReceiptsIngested,
    ShrinkflationDetected,
)
from cartsnitch_common.constants import Service
from cartsnitch_common.contract.scalars import from_date, from_money, to_date, to_decimal, to_money
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.prices import latest_price
from cartsnitch_common.events import outbox
from cartsnitch_common.values.ids import new_uuid, parse_uuid
from cartsnitch_common.values.size_changes import SizeChange, compare_sizes, judge_size_change

if TYPE_CHECKING:
    import uuid

    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.events import Event

_DAY = dt.timedelta(days=1)
_PRICE_STEP = decimal.Decimal("0.0001")


# -- ReceiptWitness: accounts --------------------------------------------------


async def note_sync(event: Event[ReceiptsIngested], session: AsyncSession) -> None:
    """Note on the account at the store, if the user has one, that it was read."""
    account = models.UserStoreAccount
    await session.execute(
        update(account)
        .where(
            account.user_id == event.payload.user_id,
            account.store_id == parse_uuid(event.payload.store_id),
            # Deliveries may come late; the clock of an account never goes back.
            func.coalesce(account.last_sync_at, event.timestamp) <= event.timestamp,
        )
        .values(last_sync_at=event.timestamp)
    )


# -- StickerShock: price increases ---------------------------------------------


async def detect_increases(event: Event[PricesUpdated], session: AsyncSession) -> None:
    """Compare each new price with the one before it by date, at the same store."""
    for observation in event.payload.observations:
        day = from_date(observation.observed_date)
        if day == dt.date.min:  # nothing can have been before
            continue
        previous = await latest_price(
            session,
            parse_uuid(observation.normalized_product_id),
            parse_uuid(observation.store_id),
            until=day - _DAY,
        )
        if previous is None:
            continue
        before, now = previous.regular_price, from_money(observation.regular_price)
        if now > before:
            increase = PriceIncreaseDetected(
                normalized_product_id=observation.normalized_product_id,
                canonical_name=await _name_of(session, previous.normalized_product_id),
                store_id=observation.store_id,
                store=event.payload.store,
                previous_price=to_money(before),
                current_price=to_money(now),
                previous_date=to_date(previous.observed_date),
                current_date=observation.observed_date,
                price_observation_id=observation.id,
            )
            if before:
                ratio = ((now - before) / before).quantize(_PRICE_STEP)
                increase.increase_ratio.CopyFrom(to_decimal(ratio))
            await outbox.enqueue(
                session,
                increase,
                service=Service.STICKERSHOCK,
                key=observation.normalized_product_id,
                causation_id=event.event_id,
            )


async def _name_of(session: AsyncSession, product_id: uuid.UUID) -> str:
    product = await session.get_one(models.NormalizedProduct, product_id)
    return product.canonical_name


# -- ShrinkRay: shrinkflation --------------------------------------------------


async def detect_shrinking(event: Event[ProductsNormalized], session: AsyncSession) -> None:
    """Compare the size on each receipt line with the product's size of record."""
    store_id = parse_uuid(event.payload.store_id)
    for match in event.payload.matches:
        product = await session.get_one(
            models.NormalizedProduct, parse_uuid(match.normalized_product_id)
        )
        finding = await _finding(session, match, product, store_id)
        if finding is None:
            continue
        detected = ShrinkflationDetected(
            finding=to_message(finding), canonical_name=product.canonical_name
        )
        await outbox.enqueue(
            session,
            detected,
            service=Service.SHRINKRAY,
            key=match.normalized_product_id,
            causation_id=event.event_id,
        )


async def _finding(
    session: AsyncSession,
    match: ProductMatch,
    product: models.NormalizedProduct,
    store_id: uuid.UUID,
) -> models.ShrinkflationEvent | None:
    """Write the finding, where there is one that is not written already."""
    if product.size is None or product.size_unit is None or not match.HasField("observed_size"):
        return None
    old = (product.size, product.size_unit)
    new = (match.observed_size, match.observed_size_unit)
    if compare_sizes(old, new).change is not SizeChange.SMALLER:
        return None
    date = from_date(match.purchase_date)
    old_price = await _shelf_price_before(session, product.id, store_id, date)
    new_price = from_money(match.shelf_price) if match.HasField("shelf_price") else None
    if not judge_size_change(old, new, old_price=old_price, new_price=new_price).is_finding:
        return None
    row: models.ShrinkflationEvent | None = await session.scalar(
        insert(models.ShrinkflationEvent)
        .values(
            id=new_uuid(),
            normalized_product_id=product.id,
            detected_date=date,
            old_size=product.size,
            old_unit=product.size_unit,
            new_size=match.observed_size,
            new_unit=match.observed_size_unit,
            price_at_old_size=old_price,
            price_at_new_size=new_price,
            confidence=decimal.Decimal("0.9" if old_price is not None else "0.6"),
        )
        .on_conflict_do_nothing(index_elements=["normalized_product_id", "new_size", "new_unit"])
        .returning(models.ShrinkflationEvent)
    )
    return row


async def _shelf_price_before(
    session: AsyncSession, product_id: uuid.UUID, store_id: uuid.UUID, date: dt.date
) -> decimal.Decimal | None:
    """The last regular price on a receipt of an earlier day, at the same store."""
    item, purchase = models.PurchaseItem, models.Purchase
    price: decimal.Decimal | None = await session.scalar(
        select(item.regular_price)
        .join(purchase, purchase.id == item.purchase_id)
        .where(
            item.normalized_product_id == product_id,
            item.regular_price.is_not(None),
            purchase.store_id == store_id,
            purchase.purchase_date < date,
        )
        .order_by(purchase.purchase_date.desc(), item.id.desc())
        .limit(1)
    )
    return price
