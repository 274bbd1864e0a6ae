"""Make the tokens of the products from before.

What: the rows of product_names that are missing, in batches of products.
Why: the triggers of the revision before see only what is written since then.
Phase: migrate.
The previous code sees: what it saw.
"""

from __future__ import annotations

from alembic import op

revision = "0016_product_names_filled"
down_revision = "0015_product_names"

# What the triggers write meanwhile stays. The row lock holds off a delete of the product.
FILL = """
DO $$
DECLARE
  first uuid := '00000000-0000-0000-0000-000000000000';
  last uuid;
BEGIN
  LOOP
    SELECT b.id INTO last FROM (
      SELECT p.id FROM public.normalized_products AS p
      WHERE p.id >= first ORDER BY p.id LIMIT 2000
    ) AS b ORDER BY b.id DESC LIMIT 1;
    EXIT WHEN last IS NULL;
    INSERT INTO public.product_names (normalized_product_id, tokens)
    SELECT
      p.id,
      public.product_name_tokens(concat_ws(' ', p.brand, p.canonical_name, p.size, p.size_unit))
    FROM public.normalized_products AS p
    WHERE p.id BETWEEN first AND last
      AND NOT EXISTS (
        SELECT FROM public.product_names AS n WHERE n.normalized_product_id = p.id
      )
    ORDER BY p.id
    FOR KEY SHARE OF p
    ON CONFLICT (normalized_product_id) DO NOTHING;
    COMMIT;
    EXIT WHEN last = first;
    first := last;
  END LOOP;
  ANALYZE public.product_names;
END $$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(FILL)


def downgrade() -> None:
    # The tokens go with their table.
    pass
