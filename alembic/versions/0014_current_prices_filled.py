"""Copy the observations from before into the table of current prices.

What: the latest observation of each product and store, in batches of products.
Why: the triggers of the revision before see only what is written since then.
Phase: migrate.
The previous code sees: what it saw.
"""

from __future__ import annotations

from alembic import op

revision = "0014_current_prices_filled"
down_revision = "0013_current_prices"

# What the triggers have written meanwhile stays where it is newer. The row lock holds off
# a delete of the very observation until its copy can be seen, and taken out, by the trigger.
FILL = """
DO $$
DECLARE
  first uuid := '00000000-0000-0000-0000-000000000000';
  last uuid;
BEGIN
  LOOP
    SELECT b.id INTO last FROM (
      SELECT p.id FROM public.normalized_products AS p
      WHERE p.id >= first ORDER BY p.id LIMIT 1000
    ) AS b ORDER BY b.id DESC LIMIT 1;
    EXIT WHEN last IS NULL;
    INSERT INTO public.current_prices AS c (
      store_id, normalized_product_id, id, observed_date,
      regular_price, sale_price, loyalty_price, coupon_price, source, purchase_item_id
    )
    SELECT
      h.store_id, h.normalized_product_id, h.id, h.observed_date,
      h.regular_price, h.sale_price, h.loyalty_price, h.coupon_price, h.source,
      h.purchase_item_id
    FROM public.stores AS s
    CROSS JOIN public.normalized_products AS p
    CROSS JOIN LATERAL (
      SELECT * FROM public.price_history AS o
      WHERE o.store_id = s.id AND o.normalized_product_id = p.id
      ORDER BY o.observed_date DESC, o.id DESC
      LIMIT 1
      FOR KEY SHARE
    ) AS h
    WHERE p.id BETWEEN first AND last
    ORDER BY h.store_id, h.normalized_product_id
    ON CONFLICT (store_id, normalized_product_id) DO UPDATE SET
      id = excluded.id,
      observed_date = excluded.observed_date,
      regular_price = excluded.regular_price,
      sale_price = excluded.sale_price,
      loyalty_price = excluded.loyalty_price,
      coupon_price = excluded.coupon_price,
      source = excluded.source,
      purchase_item_id = excluded.purchase_item_id
    WHERE (excluded.observed_date, excluded.id) > (c.observed_date, c.id);
    COMMIT;
    EXIT WHEN last = first;
    first := last;
  END LOOP;
END $$
"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(FILL)


def downgrade() -> None:
    # The copies go with their table.
    pass
