"""Price history, owned by ReceiptWitness."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import CheckConstraint, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import PriceSource, Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    Id,
    UnitPrice,
    enum_column,
    foreign_key,
    not_negative,
    real_dates,
)

OBSERVED_DATE = "The day on which the price was valid, not when it was recorded."
SOURCE = "Where the price was seen."
PURCHASE_ITEM = "The receipt line it was read from; NULL where there is none, or no more."


class PriceHistory(Base):
    """A price seen for a product at a store on a date. Immutable."""

    __tablename__ = "price_history"
    __table_args__ = (
        Index(
            "ix_price_history_series", "normalized_product_id", "store_id", "observed_date", "id"
        ),
        Index(None, "store_id", "observed_date"),
        Index(None, "purchase_item_id", postgresql_where=text("purchase_item_id IS NOT NULL")),
        *not_negative("regular_price", "sale_price", "loyalty_price", "coupon_price"),
        *real_dates("observed_date"),
        CheckConstraint(
            f"purchase_item_id IS NULL OR source = '{PriceSource.RECEIPT.value}'",
            name="purchase_item_of_receipt",
        ),
        {
            "comment": "Prices seen; a correction is a new row of the same date with a later id.",
            "info": {"owner": Service.RECEIPTWITNESS},
        },
    )

    id: Mapped[Id]
    normalized_product_id: Mapped[uuid.UUID] = foreign_key(
        "normalized_products.id", on_delete="RESTRICT"
    )
    store_id: Mapped[uuid.UUID] = foreign_key("stores.id", on_delete="RESTRICT")
    observed_date: Mapped[dt.date] = mapped_column(comment=OBSERVED_DATE)
    regular_price: Mapped[UnitPrice]
    sale_price: Mapped[UnitPrice | None]
    loyalty_price: Mapped[UnitPrice | None]
    coupon_price: Mapped[UnitPrice | None]
    source: Mapped[PriceSource] = enum_column(PriceSource, name="source", comment=SOURCE)
    purchase_item_id: Mapped[uuid.UUID | None] = foreign_key(
        "purchase_items.id", on_delete="SET NULL", comment=PURCHASE_ITEM
    )
