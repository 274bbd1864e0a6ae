"""Make the price history.

What: the table price_history, with the index that reads a product's series.
Why: a price increase is found in the prices seen before.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_price_history"
down_revision = "0007_purchase_items"


def upgrade() -> None:
    op.create_table(
        "price_history",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("normalized_product_id", sa.Uuid(), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column(
            "observed_date",
            sa.Date(),
            nullable=False,
            comment="The day on which the price was valid, not when it was recorded.",
        ),
        sa.Column("regular_price", sa.Numeric(12, 4), nullable=False),
        sa.Column("sale_price", sa.Numeric(12, 4)),
        sa.Column("loyalty_price", sa.Numeric(12, 4)),
        sa.Column("coupon_price", sa.Numeric(12, 4)),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("purchase_item_id", sa.Uuid()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_price_history")),
        sa.ForeignKeyConstraint(
            ["normalized_product_id"],
            ["normalized_products.id"],
            name=op.f("fk_price_history_normalized_product_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_price_history_store_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["purchase_item_id"],
            ["purchase_items.id"],
            name=op.f("fk_price_history_purchase_item_id"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint(
            "regular_price >= 0 AND regular_price <> 'NaN'",
            name=op.f("ck_price_history_regular_price_not_negative"),
        ),
        sa.CheckConstraint(
            "sale_price >= 0 AND sale_price <> 'NaN'",
            name=op.f("ck_price_history_sale_price_not_negative"),
        ),
        sa.CheckConstraint(
            "loyalty_price >= 0 AND loyalty_price <> 'NaN'",
            name=op.f("ck_price_history_loyalty_price_not_negative"),
        ),
        sa.CheckConstraint(
            "coupon_price >= 0 AND coupon_price <> 'NaN'",
            name=op.f("ck_price_history_coupon_price_not_negative"),
        ),
        sa.CheckConstraint(
            "source IN ('receipt', 'catalog', 'weekly_ad')", name=op.f("ck_price_history_source")
        ),
        sa.CheckConstraint(
            "purchase_item_id IS NULL OR source = 'receipt'",
            name=op.f("ck_price_history_purchase_item_of_receipt"),
        ),
        sa.CheckConstraint(
            "observed_date BETWEEN '0001-01-01' AND '9999-12-31'",
            name=op.f("ck_price_history_observed_date_range"),
        ),
        comment="Prices seen; a correction is a new row of the same date with a later id.",
    )
    op.create_index(
        op.f("ix_price_history_series"),
        "price_history",
        ["normalized_product_id", "store_id", "observed_date", "id"],
    )
    op.create_index(
        op.f("ix_price_history_store_id_observed_date"),
        "price_history",
        ["store_id", "observed_date"],
    )
    op.create_index(
        op.f("ix_price_history_purchase_item_id"),
        "price_history",
        ["purchase_item_id"],
        postgresql_where=sa.text("purchase_item_id IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("price_history")
