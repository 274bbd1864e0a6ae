"""Normalized products and their names' tokens: ReceiptWitness owns them, every service reads."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import DDL, CheckConstraint, Computed, Index, SmallInteger, event, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import PATTERN, Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    CreatedAt,
    Id,
    UpdatedAt,
    contract_text,
    foreign_key,
    not_empty,
    real_times,
    together,
)
from cartsnitch_common.db.owners import Share


class NormalizedProduct(Base):
    """One product as the platform knows it, whatever each retailer calls it."""

    __tablename__ = "normalized_products"
    __table_args__ = (
        *not_empty("canonical_name", "category", "subcategory", "brand", "size", "size_unit"),
        together("size_together", "size", "size_unit"),
        # PostgreSQL tries CHECKs by name, so those below see an array, the last one codes.
        CheckConstraint("jsonb_typeof(upc_variants) = 'array'", name="upc_variants_array"),
        CheckConstraint(
            "NOT jsonb_path_exists(upc_variants, 'strict $[*]"
            f""" ? (@.type() != "string" || !(@ like_regex "{PATTERN["PurchaseItem.upc"]}"))')""",
            name="upc_variants_codes",
        ),
        CheckConstraint("jsonb_array_length(upc_variants) <= 100", name="upc_variants_count"),
        CheckConstraint(
            r"""upc_variants::text !~ '("[0-9]+").*\1'""".replace(":", r"\:"),
            name="upc_variants_unique",
        ),
        *real_times("created_at", "updated_at"),
        Index(
            None,
            "upc_variants",
            postgresql_using="gin",
            postgresql_ops={"upc_variants": "jsonb_path_ops"},
            # Entries that wait to be merged are read one by one: after 20,000 new
            # products a look-up took 20 times as long, and writing was no faster.
            postgresql_with={"fastupdate": "off"},
        ),
        {
            "comment": "Products as the platform knows them, across retailers.",
            "info": {"owner": Service.RECEIPTWITNESS, "shared": [Share("SELECT")]},
        },
    )

    id: Mapped[Id]
    canonical_name: Mapped[str] = contract_text(
        "NormalizedProduct.canonical_name", comment="The name that the platform shows."
    )
    category: Mapped[str | None] = contract_text(
        "NormalizedProduct.category", comment="NULL when not known."
    )
    subcategory: Mapped[str | None] = contract_text(
        "NormalizedProduct.subcategory",
        comment="The category below the category; NULL when not known.",
    )
    brand: Mapped[str | None] = contract_text(
        "NormalizedProduct.brand", comment="NULL for loose produce and where it is not known."
    )
    size: Mapped[str | None] = contract_text(
        "NormalizedProduct.size", comment='As printed: "18", "1/2" or "12 x 12".'
    )
    size_unit: Mapped[str | None] = contract_text(
        "NormalizedProduct.size_unit", comment='As printed: "oz", "fl oz" or "ct".'
    )
    upc_variants: Mapped[list[str]] = mapped_column(
        default=list,
        server_default=text("'[]'::jsonb"),
        comment="GTINs and PLU codes as text, ascending.",
    )
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class ProductName(Base):
    """The words by which a product is found: of its brand, name and size.

    No program writes this table: triggers of ``normalized_products`` keep it, for
    writers in every language; they and the function that makes tokens of a text,
    ``product_name_tokens``, stand in the migrations.
    """

    __tablename__ = "product_names"
    __table_args__ = (
        Index(
            None,
            "tokens",
            postgresql_using="gin",
            postgresql_with={"fastupdate": "off"},
        ),
        {
            "comment": "The tokens of a product's brand, name and size; kept by triggers.",
            "info": {"owner": Service.RECEIPTWITNESS, "shared": [Share("SELECT")]},
        },
    )

    normalized_product_id: Mapped[uuid.UUID] = foreign_key(
        "normalized_products.id", on_delete="CASCADE", primary_key=True
    )
    tokens: Mapped[Any] = mapped_column(
        TSVECTOR, nullable=False, comment="What product_name_tokens makes of the texts."
    )
    token_count: Mapped[int] = mapped_column(
        SmallInteger,
        Computed("length(tokens)", persisted=True),
        nullable=False,
        comment="How many different tokens there are.",
    )


# How common a token is comes from the planner's statistics. A search reads the whole list,
# and only the head of it makes a difference.
event.listen(
    ProductName.__table__,
    "after_create",
    DDL("ALTER TABLE product_names ALTER COLUMN tokens SET STATISTICS 10"),  # type: ignore[no-untyped-call] # SQLAlchemy has not annotated it
)
