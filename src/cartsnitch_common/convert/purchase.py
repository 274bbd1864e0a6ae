"""Purchases with their items as messages, and back."""

from __future__ import annotations

from typing import Final

from sqlalchemy import inspect

from cartsnitch.purchase.v1 import Purchase, PurchaseItem
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models
from cartsnitch_common.errors import UnmappableValueError

PURCHASE_ITEM: Final = Mapping(row=models.PurchaseItem, message=PurchaseItem)


class _PurchaseMapping(Mapping[models.Purchase, Purchase]):
    """A purchase carries its items where they are loaded."""

    def to_message(self, row: models.Purchase) -> Purchase:
        message = super().to_message(row)
        if "items" not in inspect(row).unloaded:
            message.items.extend(PURCHASE_ITEM.to_message(item) for item in row.items)
        return message

    def from_message(self, message: Purchase) -> models.Purchase:
        row = super().from_message(message)
        # The rules of the items were checked with the purchase's.
        row.items = [
            models.PurchaseItem(**_item_values(item, index, message))
            for index, item in enumerate(message.items)
        ]
        return row


def _item_values(item: PurchaseItem, index: int, purchase: Purchase) -> dict[str, object]:
    path = f"items[{index}]"
    try:
        values = PURCHASE_ITEM.values(item)
    except UnmappableValueError as error:
        raise UnmappableValueError(f"{path}.{error.field}", error.reason) from None
    if item.purchase_id != purchase.id:
        raise UnmappableValueError(f"{path}.purchase_id", "names another purchase")
    return values


PURCHASE: Final = _PurchaseMapping(
    row=models.Purchase,
    message=Purchase,
    renamed={"ingested_at": "ingest_time"},
    private={"raw_data": "what the retailer sent: personal, and of no fixed shape"},
    derived={"items": "the rows of purchase_items, where they are loaded"},
)
