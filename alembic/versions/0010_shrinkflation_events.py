"""Make the shrinkflation findings.

What: the table shrinkflation_events, with one row a product and new size.
Why: ShrinkRay reports each finding once.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_shrinkflation_events"
down_revision = "0009_coupons"


def upgrade() -> None:
    op.create_table(
        "shrinkflation_events",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("normalized_product_id", sa.Uuid(), nullable=False),
        sa.Column("detected_date", sa.Date(), nullable=False),
        sa.Column("old_size", sa.String(32), nullable=False),
        sa.Column("new_size", sa.String(32), nullable=False),
        sa.Column("old_unit", sa.String(16), nullable=False),
        sa.Column("new_unit", sa.String(16), nullable=False),
        sa.Column("price_at_old_size", sa.Numeric(12, 4)),
        sa.Column("price_at_new_size", sa.Numeric(12, 4)),
        sa.Column("confidence", sa.Numeric(5, 4), nullable=False),
        sa.Column("notes", sa.String(4000)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shrinkflation_events")),
        sa.UniqueConstraint(
            "normalized_product_id",
            "new_size",
            "new_unit",
            name=op.f("uq_shrinkflation_events_normalized_product_id_new_size_new_unit"),
        ),
        sa.ForeignKeyConstraint(
            ["normalized_product_id"],
            ["normalized_products.id"],
            name=op.f("fk_shrinkflation_events_normalized_product_id"),
            ondelete="RESTRICT",
        ),
        sa.CheckConstraint(
            "old_size <> ''", name=op.f("ck_shrinkflation_events_old_size_not_empty")
        ),
        sa.CheckConstraint(
            "new_size <> ''", name=op.f("ck_shrinkflation_events_new_size_not_empty")
        ),
        sa.CheckConstraint(
            "old_unit <> ''", name=op.f("ck_shrinkflation_events_old_unit_not_empty")
        ),
        sa.CheckConstraint(
            "new_unit <> ''", name=op.f("ck_shrinkflation_events_new_unit_not_empty")
        ),
        sa.CheckConstraint("notes <> ''", name=op.f("ck_shrinkflation_events_notes_not_empty")),
        sa.CheckConstraint(
            "price_at_old_size >= 0 AND price_at_old_size <> 'NaN'",
            name=op.f("ck_shrinkflation_events_price_at_old_size_not_negative"),
        ),
        sa.CheckConstraint(
            "price_at_new_size >= 0 AND price_at_new_size <> 'NaN'",
            name=op.f("ck_shrinkflation_events_price_at_new_size_not_negative"),
        ),
        sa.CheckConstraint(
            "confidence BETWEEN 0 AND 1", name=op.f("ck_shrinkflation_events_confidence_range")
        ),
        sa.CheckConstraint(
            "detected_date BETWEEN '0001-01-01' AND '9999-12-31'",
            name=op.f("ck_shrinkflation_events_detected_date_range"),
        ),
        comment="Products that got smaller; one row a product and new size.",
    )


def downgrade() -> None:
    op.drop_table("shrinkflation_events")
