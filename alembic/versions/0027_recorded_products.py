"""Look up the products of a purchase by their keys, however few there are.

What: the function record_purchase asks for each line's product by itself.
Why: of 20,000 products it read all, and the receipt took a third longer.
Phase: expand.
The previous code sees: the same function.
"""

from __future__ import annotations

from alembic import op

revision = "0027_recorded_products"
down_revision = "0026_every_column_comment"

# Named, so that a column that is added later gets its default here.
PURCHASE = (
    "id, user_id, store_id, store_location_id, receipt_id, purchase_date, total, subtotal, tax,"
    " savings_total, source_url, ingested_at"
)
ITEM = (
    "id, purchase_id, product_name_raw, upc, quantity, unit_price, extended_price, regular_price,"
    " sale_price, coupon_discount, loyalty_discount, category_raw, normalized_product_id"
)
PRICE = (
    "id, normalized_product_id, regular_price, sale_price, loyalty_price, coupon_price,"
    " purchase_item_id"
)

AS_BEFORE = """NOT EXISTS (
      SELECT FROM public.normalized_products AS p WHERE p.id = i.normalized_product_id
    )"""
# A scalar subquery is a look-up by the key for each line. What EXISTS asks may be joined, and
# the plan, which is made for any number of lines, would read all products of a small catalog.
BY_KEY = """(
      SELECT p.id FROM public.normalized_products AS p WHERE p.id = i.normalized_product_id
    ) IS NULL"""


def function(is_missing: str) -> str:
    # The rows of a table are told by JSON, in which ids, dates and numbers are exact. A price has
    # the store and the day of its purchase.
    # The plans may not depend on the values: to plan takes longer than to run.
    return f"""
CREATE OR REPLACE FUNCTION public.record_purchase(
  purchase json, raw_data jsonb, items json, prices json, expected_store text,
  lock_spaces integer[], lock_numbers integer[],
  event_ids uuid[], event_types text[], event_keys text[], envelopes bytea[],
  OUT store text, OUT has_location boolean, OUT missing_products uuid[], OUT is_new boolean,
  OUT prices_before numeric[], OUT dates_before date[]
)
LANGUAGE plpgsql
SET search_path = '' SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  made CONSTANT public.purchases :=
    json_populate_record(CAST(NULL AS public.purchases), purchase);
BEGIN
  is_new := false;
  SELECT s.slug INTO store FROM public.stores AS s WHERE s.id = made.store_id;
  has_location := made.store_location_id IS NULL OR EXISTS (
    SELECT FROM public.store_locations AS l
    WHERE l.id = made.store_location_id AND l.store_id = made.store_id
  );
  missing_products := ARRAY(
    SELECT i.normalized_product_id
    FROM json_to_recordset(items) AS i (normalized_product_id uuid)
    WHERE i.normalized_product_id IS NOT NULL AND {is_missing}
  );
  -- The events name the store's slug, and so are right for this one alone.
  IF store IS DISTINCT FROM expected_store OR NOT has_location
    OR cardinality(missing_products) > 0
  THEN
    RETURN;
  END IF;
  INSERT INTO public.purchases ({PURCHASE}, raw_data)
    SELECT {", ".join(f"made.{column}" for column in PURCHASE.split(", "))},
      record_purchase.raw_data
    ON CONFLICT (store_id, receipt_id) DO NOTHING;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  is_new := true;
  INSERT INTO public.purchase_items ({ITEM})
    SELECT {ITEM}
    FROM json_populate_recordset(CAST(NULL AS public.purchase_items), items);
  WITH given AS MATERIALIZED (
    SELECT *
    FROM json_populate_recordset(CAST(NULL AS public.price_history), prices) WITH ORDINALITY
  ), written AS (
    INSERT INTO public.price_history (store_id, observed_date, source, {PRICE})
      SELECT made.store_id, made.purchase_date, 'receipt', {PRICE} FROM given
  )
  SELECT array_agg(b.regular_price ORDER BY g.ordinality),
      array_agg(b.observed_date ORDER BY g.ordinality)
    INTO prices_before, dates_before
    FROM given AS g
    LEFT JOIN LATERAL (
      SELECT old.regular_price, old.observed_date
      FROM public.price_history AS old
      WHERE old.normalized_product_id = g.normalized_product_id AND old.store_id = made.store_id
        AND old.observed_date < made.purchase_date
      ORDER BY old.observed_date DESC, old.id DESC
      LIMIT 1
    ) AS b ON true;
  -- An event's id may be drawn only when the lock of its key is held.
  PERFORM pg_advisory_xact_lock(k.space, k.number)
    FROM unnest(lock_spaces, lock_numbers) AS k (space, number);
  INSERT INTO public.event_outbox (event_id, event_type, key, envelope)
    SELECT e.id, e.type, e.key, e.envelope
    FROM unnest(event_ids, event_types, event_keys, envelopes)
      WITH ORDINALITY AS e (id, type, key, envelope, place)
    ORDER BY e.place;
END $$
"""


def upgrade() -> None:
    op.execute(function(BY_KEY))


def downgrade() -> None:
    op.execute(function(AS_BEFORE))
