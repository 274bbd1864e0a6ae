"""Make the purchases' items.

What: the table purchase_items.
Why: prices are paid by the line of a receipt.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_purchase_items"
down_revision = "0006_purchases"


def upgrade() -> None:
    op.create_table(
        "purchase_items",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("purchase_id", sa.Uuid(), nullable=False),
        sa.Column("product_name_raw", sa.String(500), nullable=False),
        sa.Column("upc", sa.String(14), comment="GTIN, or PLU code of 4 or 5 digits."),
        sa.Column("quantity", sa.Numeric(12, 3), nullable=False),
        sa.Column("unit_price", sa.Numeric(12, 4), nullable=False),
        sa.Column("extended_price", sa.Numeric(12, 2), nullable=False),
        sa.Column("regular_price", sa.Numeric(12, 4)),
        sa.Column("sale_price", sa.Numeric(12, 4)),
        sa.Column("coupon_discount", sa.Numeric(12, 2)),
        sa.Column("loyalty_discount", sa.Numeric(12, 2)),
        sa.Column("category_raw", sa.String(255)),
        sa.Column("normalized_product_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchase_items")),
        sa.ForeignKeyConstraint(
            ["purchase_id"],
            ["purchases.id"],
            name=op.f("fk_purchase_items_purchase_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["normalized_product_id"],
            ["normalized_products.id"],
            name=op.f("fk_purchase_items_normalized_product_id"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint(
            "product_name_raw <> ''", name=op.f("ck_purchase_items_product_name_raw_not_empty")
        ),
        sa.CheckConstraint(
            "category_raw <> ''", name=op.f("ck_purchase_items_category_raw_not_empty")
        ),
        sa.CheckConstraint(
            "unit_price >= 0 AND unit_price <> 'NaN'",
            name=op.f("ck_purchase_items_unit_price_not_negative"),
        ),
        sa.CheckConstraint(
            "regular_price >= 0 AND regular_price <> 'NaN'",
            name=op.f("ck_purchase_items_regular_price_not_negative"),
        ),
        sa.CheckConstraint(
            "sale_price >= 0 AND sale_price <> 'NaN'",
            name=op.f("ck_purchase_items_sale_price_not_negative"),
        ),
        sa.CheckConstraint("quantity <> 'NaN'", name=op.f("ck_purchase_items_quantity_number")),
        sa.CheckConstraint(
            "extended_price <> 'NaN'", name=op.f("ck_purchase_items_extended_price_number")
        ),
        sa.CheckConstraint(
            "coupon_discount <> 'NaN'", name=op.f("ck_purchase_items_coupon_discount_number")
        ),
        sa.CheckConstraint(
            "loyalty_discount <> 'NaN'", name=op.f("ck_purchase_items_loyalty_discount_number")
        ),
        sa.CheckConstraint("quantity <> 0", name=op.f("ck_purchase_items_quantity_not_zero")),
        sa.CheckConstraint(
            "upc ~ '^([0-9]{4,5}|[0-9]{8}|[0-9]{12,14})$'",
            name=op.f("ck_purchase_items_upc_format"),
        ),
        comment="Receipt lines in the order of their ids; a return has a negative quantity.",
    )
    op.create_index(op.f("ix_purchase_items_purchase_id"), "purchase_items", ["purchase_id"])
    op.create_index(
        op.f("ix_purchase_items_normalized_product_id"), "purchase_items", ["normalized_product_id"]
    )


def downgrade() -> None:
    op.drop_table("purchase_items")
