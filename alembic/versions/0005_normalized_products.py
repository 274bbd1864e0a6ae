"""Make the normalized products.

What: the table normalized_products, with an index that finds a GTIN or PLU code.
Why: prices are compared across retailers by product.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005_normalized_products"
down_revision = "0004_user_store_accounts"

INSTANT = sa.DateTime(timezone=True)
# The colons are escaped: a bound parameter would begin with one.
FIRST = r"'0001-01-01 00\:00\:00+00'"
LAST = r"'9999-12-31 23\:59\:59.999999+00'"


def upgrade() -> None:
    op.create_table(
        "normalized_products",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("canonical_name", sa.String(500), nullable=False),
        sa.Column("category", sa.String(128)),
        sa.Column("subcategory", sa.String(128)),
        sa.Column("brand", sa.String(128)),
        sa.Column("size", sa.String(32), comment='As printed: "18", "1/2" or "12 x 12".'),
        sa.Column("size_unit", sa.String(16)),
        sa.Column(
            "upc_variants",
            postgresql.JSONB(),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
            comment="GTINs and PLU codes as text, ascending.",
        ),
        sa.Column("created_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_normalized_products")),
        sa.CheckConstraint(
            "canonical_name <> ''", name=op.f("ck_normalized_products_canonical_name_not_empty")
        ),
        sa.CheckConstraint(
            "category <> ''", name=op.f("ck_normalized_products_category_not_empty")
        ),
        sa.CheckConstraint(
            "subcategory <> ''", name=op.f("ck_normalized_products_subcategory_not_empty")
        ),
        sa.CheckConstraint("brand <> ''", name=op.f("ck_normalized_products_brand_not_empty")),
        sa.CheckConstraint("size <> ''", name=op.f("ck_normalized_products_size_not_empty")),
        sa.CheckConstraint(
            "size_unit <> ''", name=op.f("ck_normalized_products_size_unit_not_empty")
        ),
        sa.CheckConstraint(
            "(size IS NULL) = (size_unit IS NULL)",
            name=op.f("ck_normalized_products_size_together"),
        ),
        sa.CheckConstraint(
            "jsonb_typeof(upc_variants) = 'array'",
            name=op.f("ck_normalized_products_upc_variants_array"),
        ),
        sa.CheckConstraint(
            "NOT jsonb_path_exists(upc_variants, 'strict $[*]"
            ' ? (@.type() != "string"'
            ' || !(@ like_regex "^([0-9]{4,5}|[0-9]{8}|[0-9]{12,14})$"))\')',
            name=op.f("ck_normalized_products_upc_variants_codes"),
        ),
        sa.CheckConstraint(
            "jsonb_array_length(upc_variants) <= 100",
            name=op.f("ck_normalized_products_upc_variants_count"),
        ),
        sa.CheckConstraint(
            r"""upc_variants\:\:text !~ '("[0-9]+").*\1'""",
            name=op.f("ck_normalized_products_upc_variants_unique"),
        ),
        sa.CheckConstraint(
            f"created_at BETWEEN {FIRST} AND {LAST}",
            name=op.f("ck_normalized_products_created_at_range"),
        ),
        sa.CheckConstraint(
            f"updated_at BETWEEN {FIRST} AND {LAST}",
            name=op.f("ck_normalized_products_updated_at_range"),
        ),
        comment="Products as the platform knows them, across retailers.",
    )
    op.create_index(
        op.f("ix_normalized_products_upc_variants"),
        "normalized_products",
        ["upc_variants"],
        postgresql_using="gin",
        postgresql_ops={"upc_variants": "jsonb_path_ops"},
    )


def downgrade() -> None:
    op.drop_table("normalized_products")
