"""Purchases and their items, owned by ReceiptWitness."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column, relationship

from cartsnitch_common.constants import Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    Amount,
    Id,
    Quantity,
    UnitPrice,
    a_number,
    contract_text,
    foreign_key,
    matches,
    not_empty,
    not_negative,
    real_dates,
    real_times,
)


class Purchase(Base):
    """One receipt of one user. Amounts are negative for a return."""

    __tablename__ = "purchases"
    __table_args__ = (
        UniqueConstraint("store_id", "receipt_id"),
        Index(None, "user_id", "purchase_date", "id"),
        Index(None, "store_location_id"),
        *not_empty("receipt_id"),
        *a_number("total", "subtotal", "tax", "savings_total"),
        matches("source_url", "Purchase.source_url"),
        *real_dates("purchase_date"),
        *real_times("ingested_at"),
        {
            "comment": "Receipts as recorded; amounts are negative for a return.",
            "info": {"owner": Service.RECEIPTWITNESS},
        },
    )

    id: Mapped[Id]
    user_id: Mapped[str] = foreign_key("users.id", on_delete="CASCADE")
    store_id: Mapped[uuid.UUID] = foreign_key("stores.id", on_delete="RESTRICT")
    store_location_id: Mapped[uuid.UUID | None] = foreign_key(
        "store_locations.id", on_delete="SET NULL"
    )
    receipt_id: Mapped[str] = contract_text(
        "Purchase.receipt_id", comment="The retailer's own number, unique within the store."
    )
    purchase_date: Mapped[dt.date] = mapped_column(comment="The day where it was bought.")
    total: Mapped[Amount]
    subtotal: Mapped[Amount | None]
    tax: Mapped[Amount | None]
    savings_total: Mapped[Amount | None]
    source_url: Mapped[str | None] = contract_text(
        "Purchase.source_url", comment="Where the receipt was read; NULL for an upload."
    )
    raw_data: Mapped[dict[str, Any] | None] = mapped_column(
        deferred=True, comment="What the retailer sent. Personal; never leaves this table."
    )
    ingested_at: Mapped[dt.datetime] = mapped_column(
        server_default=func.now(), comment="When it was recorded."
    )

    items: Mapped[list[PurchaseItem]] = relationship(
        lazy="raise",
        order_by="PurchaseItem.id",
        passive_deletes=True,
        cascade="all, delete-orphan",
    )


class PurchaseItem(Base):
    """One line of a receipt; ascending ids are the order of the lines."""

    __tablename__ = "purchase_items"
    __table_args__ = (
        Index(None, "purchase_id"),
        Index(None, "normalized_product_id"),
        *not_empty("product_name_raw", "category_raw"),
        *not_negative("unit_price", "regular_price", "sale_price"),
        *a_number("quantity", "extended_price", "coupon_discount", "loyalty_discount"),
        CheckConstraint("quantity <> 0", name="quantity_not_zero"),
        matches("upc", "PurchaseItem.upc"),
        {
            "comment": "Receipt lines in the order of their ids; a return has a negative quantity.",
            "info": {"owner": Service.RECEIPTWITNESS},
        },
    )

    id: Mapped[Id]
    purchase_id: Mapped[uuid.UUID] = foreign_key("purchases.id", on_delete="CASCADE")
    product_name_raw: Mapped[str] = contract_text(
        "PurchaseItem.product_name_raw", comment="As printed."
    )
    upc: Mapped[str | None] = contract_text(
        "PurchaseItem.upc", comment="GTIN, or PLU code of 4 or 5 digits."
    )
    quantity: Mapped[Quantity]
    unit_price: Mapped[UnitPrice]
    extended_price: Mapped[Amount]
    regular_price: Mapped[UnitPrice | None]
    sale_price: Mapped[UnitPrice | None]
    coupon_discount: Mapped[Amount | None]
    loyalty_discount: Mapped[Amount | None]
    category_raw: Mapped[str | None] = contract_text(
        "PurchaseItem.category_raw", comment="As the retailer says."
    )
    normalized_product_id: Mapped[uuid.UUID | None] = foreign_key(
        "normalized_products.id", on_delete="SET NULL"
    )
