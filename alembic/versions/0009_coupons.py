"""Make the coupons.

What: the table coupons.
Why: ClipArtist watches the offers of the stores.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_coupons"
down_revision = "0008_price_history"

INSTANT = sa.DateTime(timezone=True)
# The colons are escaped: a bound parameter would begin with one.
FIRST = r"'0001-01-01 00\:00\:00+00'"
LAST = r"'9999-12-31 23\:59\:59.999999+00'"


def upgrade() -> None:
    op.create_table(
        "coupons",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("normalized_product_id", sa.Uuid()),
        sa.Column("title", sa.String(500), nullable=False),
        sa.Column("description", sa.String(4000)),
        sa.Column("discount_type", sa.String(16), nullable=False),
        sa.Column(
            "discount_value",
            sa.Numeric(12, 2),
            comment="Percent, dollars or pieces, as discount_type says.",
        ),
        sa.Column("min_purchase", sa.Numeric(12, 2)),
        sa.Column("valid_from", sa.Date(), comment="First day, inclusive."),
        sa.Column("valid_to", sa.Date(), comment="Last day, inclusive."),
        sa.Column("requires_clip", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("coupon_code", sa.String(64)),
        sa.Column("source_url", sa.String(2048)),
        sa.Column("scraped_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_coupons")),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_coupons_store_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["normalized_product_id"],
            ["normalized_products.id"],
            name=op.f("fk_coupons_normalized_product_id"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint("title <> ''", name=op.f("ck_coupons_title_not_empty")),
        sa.CheckConstraint("description <> ''", name=op.f("ck_coupons_description_not_empty")),
        sa.CheckConstraint("coupon_code <> ''", name=op.f("ck_coupons_coupon_code_not_empty")),
        sa.CheckConstraint(
            "discount_value >= 0 AND discount_value <> 'NaN'",
            name=op.f("ck_coupons_discount_value_not_negative"),
        ),
        sa.CheckConstraint(
            "min_purchase >= 0 AND min_purchase <> 'NaN'",
            name=op.f("ck_coupons_min_purchase_not_negative"),
        ),
        sa.CheckConstraint(
            "discount_type IN ('percent', 'fixed', 'bogo', 'buy_x_get_y')",
            name=op.f("ck_coupons_discount_type"),
        ),
        sa.CheckConstraint("valid_from <= valid_to", name=op.f("ck_coupons_valid_dates")),
        sa.CheckConstraint(
            "discount_type <> 'percent' AND discount_type <> 'bogo' OR discount_value <= 100",
            name=op.f("ck_coupons_percent_range"),
        ),
        sa.CheckConstraint(
            "source_url ~ '^https?://[!-~]+$'", name=op.f("ck_coupons_source_url_format")
        ),
        sa.CheckConstraint(
            "valid_from BETWEEN '0001-01-01' AND '9999-12-31'",
            name=op.f("ck_coupons_valid_from_range"),
        ),
        sa.CheckConstraint(
            "valid_to BETWEEN '0001-01-01' AND '9999-12-31'",
            name=op.f("ck_coupons_valid_to_range"),
        ),
        sa.CheckConstraint(
            f"scraped_at BETWEEN {FIRST} AND {LAST}", name=op.f("ck_coupons_scraped_at_range")
        ),
        comment="Offers of the stores.",
    )
    op.create_index(op.f("ix_coupons_store_id_valid_to"), "coupons", ["store_id", "valid_to"])
    op.create_index(op.f("ix_coupons_normalized_product_id"), "coupons", ["normalized_product_id"])


def downgrade() -> None:
    op.drop_table("coupons")
