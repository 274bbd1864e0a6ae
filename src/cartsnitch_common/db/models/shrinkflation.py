"""Shrinkflation findings, owned by ShrinkRay."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    Id,
    Probability,
    UnitPrice,
    contract_text,
    foreign_key,
    not_empty,
    not_negative,
    real_dates,
)


class ShrinkflationEvent(Base):
    """A product that got smaller while its price did not fall."""

    __tablename__ = "shrinkflation_events"
    __table_args__ = (
        UniqueConstraint("normalized_product_id", "new_size", "new_unit"),
        *not_empty("old_size", "new_size", "old_unit", "new_unit", "notes"),
        *not_negative("price_at_old_size", "price_at_new_size"),
        *real_dates("detected_date"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence_range"),
        {
            "comment": "Products that got smaller; one row a product and new size.",
            "info": {"owner": Service.SHRINKRAY},
        },
    )

    id: Mapped[Id]
    normalized_product_id: Mapped[uuid.UUID] = foreign_key(
        "normalized_products.id", on_delete="RESTRICT"
    )
    detected_date: Mapped[dt.date] = mapped_column(comment="The day it was found.")
    old_size: Mapped[str] = contract_text("ShrinkflationEvent.old_size", comment="As printed.")
    new_size: Mapped[str] = contract_text("ShrinkflationEvent.new_size", comment="As printed.")
    old_unit: Mapped[str] = contract_text("ShrinkflationEvent.old_unit", comment="As printed.")
    new_unit: Mapped[str] = contract_text("ShrinkflationEvent.new_unit", comment="As printed.")
    price_at_old_size: Mapped[UnitPrice | None] = mapped_column(comment="US dollars a package.")
    price_at_new_size: Mapped[UnitPrice | None] = mapped_column(comment="US dollars a package.")
    confidence: Mapped[Probability]
    notes: Mapped[str | None] = contract_text(
        "ShrinkflationEvent.notes", comment="What a person should know of it; NULL when nothing."
    )
