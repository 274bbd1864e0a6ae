"""Coupons, owned by ClipArtist."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import CheckConstraint, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import DiscountType, Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    Amount,
    Id,
    contract_text,
    enum_column,
    foreign_key,
    matches,
    not_empty,
    not_negative,
    real_dates,
    real_times,
)


class Coupon(Base):
    """An offer of a store, for one product or for the whole basket."""

    __tablename__ = "coupons"
    __table_args__ = (
        Index(None, "store_id", "valid_to"),
        Index(None, "normalized_product_id"),
        *not_empty("title", "description", "coupon_code"),
        *not_negative("discount_value", "min_purchase"),
        CheckConstraint("valid_from <= valid_to", name="valid_dates"),
        CheckConstraint(
            f"discount_type <> '{DiscountType.PERCENT.value}'"
            f" AND discount_type <> '{DiscountType.BOGO.value}' OR discount_value <= 100",
            name="percent_range",
        ),
        matches("source_url", "Coupon.source_url"),
        *real_dates("valid_from", "valid_to"),
        *real_times("scraped_at"),
        {
            "comment": "Offers of the stores.",
            "info": {"owner": Service.CLIPARTIST},
        },
    )

    id: Mapped[Id]
    store_id: Mapped[uuid.UUID] = foreign_key("stores.id", on_delete="RESTRICT")
    normalized_product_id: Mapped[uuid.UUID | None] = foreign_key(
        "normalized_products.id", on_delete="SET NULL"
    )
    title: Mapped[str] = contract_text("Coupon.title", comment="The offer in one line.")
    description: Mapped[str | None] = contract_text(
        "Coupon.description",
        comment="The offer in full; NULL when the store says no more than the title.",
    )
    discount_type: Mapped[DiscountType] = enum_column(
        DiscountType, name="discount_type", comment="How it lowers the price."
    )
    discount_value: Mapped[Amount | None] = mapped_column(
        comment="Percent, dollars or pieces, as discount_type says.",
    )
    min_purchase: Mapped[Amount | None] = mapped_column(
        comment="US dollars that must be spent for it."
    )
    valid_from: Mapped[dt.date | None] = mapped_column(comment="First day, inclusive.")
    valid_to: Mapped[dt.date | None] = mapped_column(comment="Last day, inclusive.")
    requires_clip: Mapped[bool] = mapped_column(
        default=False,
        server_default=text("false"),
        comment="Whether it counts only after the customer has activated it.",
    )
    coupon_code: Mapped[str | None] = contract_text(
        "Coupon.coupon_code", comment="What to enter or to scan; NULL when there is none."
    )
    source_url: Mapped[str | None] = contract_text(
        "Coupon.source_url", comment="Where it was read; NULL when it has no page of its own."
    )
    scraped_at: Mapped[dt.datetime] = mapped_column(
        server_default=func.now(), comment="When it was last seen at the store."
    )
