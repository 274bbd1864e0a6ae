"""ReceiptWitness, as the demonstration plays it: a receipt becomes rows and events.

Everything of one receipt, rows and events, is one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import selectinload

from cartsnitch.event.v1 import (
    IngestedReceipt,
    MatchMethod,
    ProductMatch,
    ProductsNormalized,
    ReceiptsIngested,
)
from cartsnitch.purchase.v1 import Purchase, Receipt
from cartsnitch_common.cli.demo.receipts import slug_of
from cartsnitch_common.constants import Service
from cartsnitch_common.contract import json_path
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.convert import from_message, to_message
from cartsnitch_common.db import models
from cartsnitch_common.errors import InvalidFieldError, ReceiptConflictError
from cartsnitch_common.events import outbox
from cartsnitch_common.values.ids import new_uuid
from cartsnitch_common.values.sizes import find_size

if TYPE_CHECKING:
    import uuid

    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch.catalog.v1 import StoreSlug as StoreNumber

_PLU_DIGITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What became of one receipt.

    Attributes:
        purchase_id: The purchase, new or recorded before.
        is_new: Whether it was recorded now; False: nothing changed, nothing was published.
        items: How many lines the purchase has.
        matched: How many of them name a normalized product.
    """

    purchase_id: uuid.UUID
    is_new: bool
    items: int
    matched: int


async def record(session: AsyncSession, receipt: Receipt) -> Recorded:
    """Write a receipt and its events in the session's transaction, once.

    Raises:
        ReceiptConflictError: It is recorded already, with other content.
        InvalidFieldError: It names a location or a product that does not exist.
    """
    store = await _store_of(session, receipt)
    purchase = await _as_purchase(session, receipt, store)
    row = _as_row(purchase)
    inserted = await session.scalar(
        # The unique key decides, also between two writers of one receipt.
        insert(models.Purchase)
        .values({name: getattr(row, name) for name in _columns(models.Purchase)})
        .on_conflict_do_nothing(index_elements=["store_id", "receipt_id"])
        .returning(models.Purchase.id)
    )
    if inserted is None:
        return await _compare(session, row)
    session.add_all(row.items)
    await session.flush()
    await _publish(session, receipt.store, row)
    return _result(row, is_new=True)


def _as_row(purchase: Purchase) -> models.Purchase:
    try:
        return from_message(purchase)
    except InvalidFieldError as error:
        path = json_path(f"purchase.{error.field}")
        raise InvalidFieldError(path, error.reason, rule_id=error.rule_id) from None


def _result(row: models.Purchase, *, is_new: bool) -> Recorded:
    matched = sum(item.normalized_product_id is not None for item in row.items)
    return Recorded(purchase_id=row.id, is_new=is_new, items=len(row.items), matched=matched)


def _columns(model: type[models.Base]) -> list[str]:
    return [column.key for column in model.__table__.columns if column.key != "raw_data"]


async def _store_of(session: AsyncSession, receipt: Receipt) -> models.Store:
    slug = slug_of(receipt.store)
    store = await session.scalar(select(models.Store).where(models.Store.slug == slug))
    if store is None:
        raise InvalidFieldError("store", "is not in this database")
    return store


async def _as_purchase(session: AsyncSession, receipt: Receipt, store: models.Store) -> Purchase:
    """Give the receipt its ids, and its lines the products that their codes name."""
    purchase = Purchase()
    purchase.CopyFrom(receipt.purchase)
    purchase.id = str(new_uuid())
    purchase.store_id = str(store.id)
    await _check_parents(session, purchase)
    products = await _products_by_code(session, {item.upc for item in purchase.items if item.upc})
    for item in purchase.items:
        item.id = str(new_uuid())
        item.purchase_id = purchase.id
        product = products.get(item.upc)
        if product is not None and not item.normalized_product_id:
            item.normalized_product_id = str(product.id)
    return purchase


async def _check_parents(session: AsyncSession, purchase: Purchase) -> None:
    if purchase.HasField("store_location_id"):
        location = await session.get(models.StoreLocation, purchase.store_location_id)
        if location is None or str(location.store_id) != purchase.store_id:
            raise InvalidFieldError("purchase.storeLocationId", "is no location of this store")
    for index, item in enumerate(purchase.items):
        if item.HasField("normalized_product_id") and not await session.get(
            models.NormalizedProduct, item.normalized_product_id
        ):
            path = f"purchase.items[{index}].normalizedProductId"
            raise InvalidFieldError(path, "is no product in this database")


async def _products_by_code(
    session: AsyncSession, codes: set[str]
) -> dict[str, models.NormalizedProduct]:
    if not codes:
        return {}
    variants = models.NormalizedProduct.upc_variants
    # One containment a code, each answered by the GIN index.
    matches = or_(*(variants.contains([code]) for code in sorted(codes)))
    products = (await session.scalars(select(models.NormalizedProduct).where(matches))).all()
    return {code: product for product in products for code in product.upc_variants}


async def _compare(session: AsyncSession, row: models.Purchase) -> Recorded:
    """Hold a receipt against the one that is recorded under its number."""
    recorded = (
        await session.scalars(
            select(models.Purchase)
            .where(
                models.Purchase.store_id == row.store_id,
                models.Purchase.receipt_id == row.receipt_id,
            )
            .options(selectinload(models.Purchase.items))
        )
    ).one()
    path = _first_difference(_printed(to_message(recorded)), _printed(to_message(row)), "purchase")
    if path is not None:
        raise ReceiptConflictError(path, row.receipt_id)
    return _result(recorded, is_new=False)


def _printed(purchase: Purchase) -> Purchase:
    """What the paper says: without ids, matches and the time of reading."""
    purchase.ClearField("id")
    purchase.ClearField("store_id")
    purchase.ClearField("ingest_time")
    for item in purchase.items:
        item.ClearField("id")
        item.ClearField("purchase_id")
        item.ClearField("normalized_product_id")
    return purchase


def _first_difference(one: Any, other: Any, path: str) -> str | None:
    """The JSON path of the first field in which two messages of one type differ."""
    if one == other:
        return None
    for field in one.DESCRIPTOR.fields:
        left, right = getattr(one, field.name), getattr(other, field.name)
        here = f"{path}.{field.json_name}"
        if field.is_repeated:
            for index, (a, b) in enumerate(zip(left, right, strict=False)):
                if a != b:
                    return _first_difference(a, b, f"{here}[{index}]")
            if len(left) != len(right):
                return here
        elif left != right or (
            field.has_presence and one.HasField(field.name) != other.HasField(field.name)
        ):
            return here
    return path


async def _publish(
    session: AsyncSession, store: StoreNumber.ValueType, row: models.Purchase
) -> None:
    ingested = ReceiptsIngested(
        user_id=row.user_id,
        store_id=str(row.store_id),
        store=store,
        receipts=[
            IngestedReceipt(
                purchase_id=str(row.id),
                receipt_id=row.receipt_id,
                purchase_date=to_date(row.purchase_date),
                total=to_money(row.total),
                item_count=len(row.items),
            )
        ],
    )
    await outbox.enqueue(session, ingested, service=Service.RECEIPTWITNESS, key=row.user_id)
    matches = [_match(item, row) for item in row.items if item.normalized_product_id is not None]
    if matches:
        normalized = ProductsNormalized(store_id=str(row.store_id), store=store, matches=matches)
        await outbox.enqueue(
            session, normalized, service=Service.RECEIPTWITNESS, key=str(row.store_id)
        )


def _match(item: models.PurchaseItem, row: models.Purchase) -> ProductMatch:
    plu = item.upc is not None and len(item.upc.lstrip("0")) <= _PLU_DIGITS
    match = ProductMatch(
        purchase_item_id=str(item.id),
        normalized_product_id=str(item.normalized_product_id),
        method=MatchMethod.MATCH_METHOD_PLU if plu else MatchMethod.MATCH_METHOD_GTIN,
        confidence=to_decimal(1),
        purchase_date=to_date(row.purchase_date),
    )
    size = find_size(item.product_name_raw)
    if size is not None:
        match.observed_size, match.observed_size_unit = size
    price = item.regular_price if item.regular_price is not None else item.unit_price
    match.shelf_price.CopyFrom(to_money(price))
    return match
