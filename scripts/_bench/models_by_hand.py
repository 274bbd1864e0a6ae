"""The rivals' models: prices and purchases in Pydantic and in msgspec."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import BaseModel, ConfigDict

from cartsnitch_common.constants import PriceSource

if TYPE_CHECKING:
    from collections.abc import Callable

_FROM_ROWS = ConfigDict(from_attributes=True)


class Price(BaseModel):
    """A price, checked by its types alone."""

    model_config = _FROM_ROWS

    id: uuid.UUID
    normalized_product_id: uuid.UUID
    store_id: uuid.UUID
    observed_date: dt.date
    regular_price: decimal.Decimal
    sale_price: decimal.Decimal | None
    loyalty_price: decimal.Decimal | None
    coupon_price: decimal.Decimal | None
    source: PriceSource
    purchase_item_id: uuid.UUID | None


class Item(BaseModel):
    """A line of a receipt."""

    model_config = _FROM_ROWS

    id: uuid.UUID
    purchase_id: uuid.UUID
    product_name_raw: str
    upc: str | None
    quantity: decimal.Decimal
    unit_price: decimal.Decimal
    extended_price: decimal.Decimal
    regular_price: decimal.Decimal | None
    sale_price: decimal.Decimal | None
    coupon_discount: decimal.Decimal | None
    loyalty_discount: decimal.Decimal | None
    category_raw: str | None
    normalized_product_id: uuid.UUID | None


class Purchase(BaseModel):
    """A receipt."""

    model_config = _FROM_ROWS

    id: uuid.UUID
    user_id: str
    store_id: uuid.UUID
    store_location_id: uuid.UUID | None
    receipt_id: str
    purchase_date: dt.date
    total: decimal.Decimal
    subtotal: decimal.Decimal | None
    tax: decimal.Decimal | None
    savings_total: decimal.Decimal | None
    source_url: str | None
    ingested_at: dt.datetime
    items: list[Item]


def _struct(model: type[BaseModel], **types: Any) -> type[msgspec.Struct]:
    """The same in msgspec: the same names and types."""
    named = {name: field.annotation for name, field in model.model_fields.items()} | types
    return msgspec.defstruct(model.__name__, named.items())


PriceStruct = _struct(Price)
ItemStruct = _struct(Item)
PurchaseStruct = _struct(Purchase, items=list[ItemStruct])  # type: ignore[valid-type] # made above


def struct_maker(struct: type[msgspec.Struct]) -> Callable[[Any], msgspec.Struct]:
    """What makes a struct of the columns of a row."""
    values = attrgetter(*struct.__struct_fields__)
    return lambda row: struct(*values(row))


price_struct = struct_maker(PriceStruct)
item_struct = struct_maker(ItemStruct)
_columns = attrgetter(*PurchaseStruct.__struct_fields__[:-1])


def purchase_struct(row: Any) -> msgspec.Struct:
    """A receipt with its lines of its row with theirs."""
    return PurchaseStruct(*_columns(row), [item_struct(item) for item in row.items])
