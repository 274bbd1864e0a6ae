"""Index the tokens of product names.

What: a GIN index on product_names.tokens.
Why: a search reads the products that share its rarest tokens, and no others.
Phase: expand.
The previous code sees: what it saw.
"""

from __future__ import annotations

from alembic import op

revision = "0017_product_names_index"
down_revision = "0016_product_names_filled"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            op.f("ix_product_names_tokens"),
            "product_names",
            ["tokens"],
            postgresql_using="gin",
            # Entries that wait to be merged are read one by one, by every search.
            postgresql_with={"fastupdate": "off"},
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            op.f("ix_product_names_tokens"),
            "product_names",
            postgresql_concurrently=True,
            if_exists=True,
        )
