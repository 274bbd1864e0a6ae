"""Make the stores.

What: the table stores.
Why: every receipt, price and coupon belongs to a store.
Phase: expand.
The previous code sees: nothing, it is the first.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_stores"
down_revision = None

INSTANT = sa.DateTime(timezone=True)
# The colons are escaped: a bound parameter would begin with one.
FIRST = r"'0001-01-01 00\:00\:00+00'"
LAST = r"'9999-12-31 23\:59\:59.999999+00'"


def upgrade() -> None:
    op.create_table(
        "stores",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("slug", sa.String(16), nullable=False),
        sa.Column("logo_url", sa.String(2048)),
        sa.Column("website_url", sa.String(2048)),
        sa.Column("created_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stores")),
        sa.UniqueConstraint("slug", name=op.f("uq_stores_slug")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_stores_name_not_empty")),
        sa.CheckConstraint("slug IN ('meijer', 'kroger', 'target')", name=op.f("ck_stores_slug")),
        sa.CheckConstraint(
            "logo_url ~ '^https?://[!-~]+$'", name=op.f("ck_stores_logo_url_format")
        ),
        sa.CheckConstraint(
            "website_url ~ '^https?://[!-~]+$'", name=op.f("ck_stores_website_url_format")
        ),
        sa.CheckConstraint(
            f"created_at BETWEEN {FIRST} AND {LAST}", name=op.f("ck_stores_created_at_range")
        ),
        comment="Retailers; one row a slug.",
    )


def downgrade() -> None:
    op.drop_table("stores")
