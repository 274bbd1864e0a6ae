"""Make the purchases.

What: the table purchases.
Why: a receipt is recorded once, however often it is read.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_purchases"
down_revision = "0005_normalized_products"

INSTANT = sa.DateTime(timezone=True)
# The colons are escaped: a bound parameter would begin with one.
FIRST = r"'0001-01-01 00\:00\:00+00'"
LAST = r"'9999-12-31 23\:59\:59.999999+00'"


def upgrade() -> None:
    op.create_table(
        "purchases",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("store_location_id", sa.Uuid()),
        sa.Column(
            "receipt_id",
            sa.String(128),
            nullable=False,
            comment="The retailer's own number, unique within the store.",
        ),
        sa.Column(
            "purchase_date", sa.Date(), nullable=False, comment="The day where it was bought."
        ),
        sa.Column("total", sa.Numeric(12, 2), nullable=False),
        sa.Column("subtotal", sa.Numeric(12, 2)),
        sa.Column("tax", sa.Numeric(12, 2)),
        sa.Column("savings_total", sa.Numeric(12, 2)),
        sa.Column("source_url", sa.String(2048)),
        sa.Column(
            "raw_data",
            postgresql.JSONB(),
            comment="What the retailer sent. Personal; never leaves this table.",
        ),
        sa.Column("ingested_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_purchases")),
        sa.UniqueConstraint(
            "store_id", "receipt_id", name=op.f("uq_purchases_store_id_receipt_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_purchases_user_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["store_id"], ["stores.id"], name=op.f("fk_purchases_store_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["store_location_id"],
            ["store_locations.id"],
            name=op.f("fk_purchases_store_location_id"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint("total <> 'NaN'", name=op.f("ck_purchases_total_number")),
        sa.CheckConstraint("subtotal <> 'NaN'", name=op.f("ck_purchases_subtotal_number")),
        sa.CheckConstraint("tax <> 'NaN'", name=op.f("ck_purchases_tax_number")),
        sa.CheckConstraint(
            "savings_total <> 'NaN'", name=op.f("ck_purchases_savings_total_number")
        ),
        sa.CheckConstraint("receipt_id <> ''", name=op.f("ck_purchases_receipt_id_not_empty")),
        sa.CheckConstraint(
            "source_url ~ '^https?://[!-~]+$'", name=op.f("ck_purchases_source_url_format")
        ),
        sa.CheckConstraint(
            "purchase_date BETWEEN '0001-01-01' AND '9999-12-31'",
            name=op.f("ck_purchases_purchase_date_range"),
        ),
        sa.CheckConstraint(
            f"ingested_at BETWEEN {FIRST} AND {LAST}", name=op.f("ck_purchases_ingested_at_range")
        ),
        comment="Receipts as recorded; amounts are negative for a return.",
    )
    op.create_index(
        op.f("ix_purchases_user_id_purchase_date_id"),
        "purchases",
        ["user_id", "purchase_date", "id"],
    )
    op.create_index(op.f("ix_purchases_store_location_id"), "purchases", ["store_location_id"])


def downgrade() -> None:
    op.drop_table("purchases")
