"""ReceiptWitness, as the demonstration plays it: a receipt becomes rows and events.

Everything of one receipt, rows and events, is one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from cartsnitch.purchase.v1 import Purchase, Receipt
from cartsnitch_common.cli.demo.receipts import slug_of
from cartsnitch_common.contract import json_path
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.product_codes import find_products_by_codes
from cartsnitch_common.errors import InvalidFieldError, NotFoundError, ReceiptConflictError
from cartsnitch_common.recording import record_purchase
from cartsnitch_common.values.ids import parse_uuid

if TYPE_CHECKING:
    import uuid

    from sqlalchemy.ext.asyncio import AsyncSession


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
        InvalidFieldError: A field holds what it may not; named as JSON names it.
        NotFoundError: It names a user, location or product that does not exist.
    """
    purchase = await _as_purchase(session, receipt)
    try:
        recorded = await record_purchase(session, purchase)
    except ReceiptConflictError as error:
        raise ReceiptConflictError(_path(error.field), error.receipt_id) from None
    except InvalidFieldError as error:
        raise InvalidFieldError(_path(error.field), error.reason, rule_id=error.rule_id) from None
    except NotFoundError as error:
        raise NotFoundError(error.resource_type, _path(error.field)) from None
    items = recorded.purchase.items
    return Recorded(
        purchase_id=parse_uuid(recorded.purchase.id),
        is_new=recorded.is_new,
        items=len(items),
        matched=sum(item.HasField("normalized_product_id") for item in items),
    )


def _path(field: str) -> str:
    return json_path(f"purchase.{field}")


async def _as_purchase(session: AsyncSession, receipt: Receipt) -> Purchase:
    """Give the receipt its store, and its lines the products that their codes name."""
    slug = slug_of(receipt.store)
    store_id = await session.scalar(select(models.Store.id).where(models.Store.slug == slug))
    if store_id is None:
        raise InvalidFieldError("store", "is not in this database")
    purchase = Purchase()
    purchase.CopyFrom(receipt.purchase)
    purchase.store_id = str(store_id)
    codes = {item.upc for item in purchase.items if item.HasField("upc")}
    products = await find_products_by_codes(session, sorted(codes))
    for item in purchase.items:
        product = products.get(item.upc)
        if product is not None and not item.HasField("normalized_product_id"):
            item.normalized_product_id = str(product.id)
    return purchase
