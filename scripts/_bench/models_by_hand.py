"""The rivals' models: prices and purchases in Pydantic and in msgspec."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import msgspec
from pydantic import BaseModel, ConfigDict

from cartsnitch_common.constants import PriceSource

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


class PriceStruct(msgspec.Struct):
    """A price in msgspec."""

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


def price_struct(row: Any) -> PriceStruct:
    """A price of its row."""
    return PriceStruct(
        row.id,
        row.normalized_product_id,
        row.store_id,
        row.observed_date,
        row.regular_price,
        row.sale_price,
        row.loyalty_price,
        row.coupon_price,
        row.source,
        row.purchase_item_id,
    )
