"""Purchases with their items as messages, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cartsnitch.purchase.v1 import Purchase, PurchaseItem
from cartsnitch_common.contract import check
from cartsnitch_common.convert.mapping import DECLINED, Mapping
from cartsnitch_common.convert.pieces import SHORT, WIRE, head_of, message_prefix, short_heads
from cartsnitch_common.db import models
from cartsnitch_common.errors import InvalidFieldError, UnmappableValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PURCHASE_ITEM: Final = Mapping(row=models.PurchaseItem, message=PurchaseItem)

_ITEMS: Final = Purchase.DESCRIPTOR.fields_by_name["items"]
_prefix: Final = message_prefix(_ITEMS)
_SHORT_HEADS: Final = short_heads(_ITEMS)
_head: Final = head_of(_ITEMS)


class PurchaseMapping(Mapping[models.Purchase, Purchase]):
    """A purchase carries its items where they are loaded."""

    @property
    def children(self) -> Mapping[Any, Any]:
        """See ``Mapping``."""
        return PURCHASE_ITEM

    def encode_row(self, row: models.Purchase) -> bytes:
        """See ``Mapping``."""
        items = row.__dict__.get("items")  # through the attribute it takes three times as long
        if items is None:
            return super().encode_row(row)
        write, heads = PURCHASE_ITEM.write_row, _SHORT_HEADS
        try:
            parts = [self.write_row(row.__dict__)]
            for item in items:
                text = write(item.__dict__)
                size = len(text)
                parts += heads[size] if size < SHORT else _head(size), text
            return "".join(parts).encode(WIRE)
        except DECLINED:
            pass  # and is no context of the slow way's error: it may print a value
        purchase, encoded = super().encode_row(row), []
        for index, item in enumerate(items):
            try:
                encoded.append(PURCHASE_ITEM.encode_row(item))
            except UnmappableValueError as error:
                raise _at_place(index, error) from None
        return self.with_items(purchase, encoded)

    def with_items(self, purchase: bytes, items: Sequence[bytes]) -> bytes:
        """The bytes of a purchase and of its items as those of one message."""
        return b"".join([purchase, *(_prefix(len(item)) + item for item in items)])

    def from_message(self, message: Purchase) -> models.Purchase:
        """See ``Mapping``."""
        values, items = self.values_with_items(message)
        return self.row(**values, items=[models.PurchaseItem(**item) for item in items])

    def values_with_items(self, message: Purchase) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The values of the purchase's columns, and those of each of its items.

        Raises:
            InvalidFieldError: As of :meth:`from_message`; an item's field is named with
                its place.
            UnmappableValueError: The same.
        """
        twin: Any = self.twin(message)
        values = self.read_twin(twin)
        if values is None:
            values = self._slow_values(message)
        items = PURCHASE_ITEM.read_twins(twin.items)
        if items is None or not {item["purchase_id"] for item in items} <= {values["id"]}:
            items = _of_items(PURCHASE_ITEM.values, message)
        return values, items

    def copy_children(self, message: Purchase) -> list[bytes]:
        """See ``Mapping``."""
        return _of_items(PURCHASE_ITEM.copy_row, message)


def _of_items[T](convert: Callable[[PurchaseItem], T], purchase: Purchase) -> list[T]:
    """Convert each item; an error names it by its place."""
    found = []
    for index, item in enumerate(purchase.items):
        try:
            found.append(convert(item))
        except UnmappableValueError as error:
            raise _at_place(index, error) from None
        except InvalidFieldError:
            check(purchase)  # raises: it has the item's place, and how many more rules are broken
            raise
        if item.purchase_id != purchase.id:
            raise UnmappableValueError(f"items[{index}].purchase_id", "names another purchase")
    return found


def _at_place(index: int, error: UnmappableValueError) -> UnmappableValueError:
    return UnmappableValueError(f"items[{index}].{error.field}", error.reason)


PURCHASE: Final = PurchaseMapping(
    row=models.Purchase,
    message=Purchase,
    renamed={"ingested_at": "ingest_time"},
    private={"raw_data": "what the retailer sent: personal, and of no fixed shape"},
    derived={"items": "the rows of purchase_items, where they are loaded"},
)
