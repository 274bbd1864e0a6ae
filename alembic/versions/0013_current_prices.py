"""Make the table of current prices and the triggers that keep it.

What: the table current_prices: of each product and store the latest observation in
event time, that of the greatest (observed_date, id); and triggers of price_history
that keep it, for writers in every language. The next revision copies what is there.
Why: the prices of a whole store are read from it, not found again in the history.
Phase: expand.
The previous code sees: a table that it does not know and needs no right on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013_current_prices"
down_revision = "0012_event_inbox"

# The functions run as their owner: before PostgreSQL 18 a trigger that a cascade has queued
# runs as whoever deletes, and who may delete a user has no right on prices.

# One statement a statement of the writer, in the order of the key, so that two writers
# never wait for each other in a circle. A row that is met is locked also where it stays:
# a delete that finds the current price again must see what was written meanwhile.
UPSERT = """
CREATE FUNCTION public.current_prices_upsert() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  INSERT INTO public.current_prices AS c (
    store_id, normalized_product_id, id, observed_date,
    regular_price, sale_price, loyalty_price, coupon_price, source, purchase_item_id
  )
  SELECT DISTINCT ON (store_id, normalized_product_id)
    store_id, normalized_product_id, id, observed_date,
    regular_price, sale_price, loyalty_price, coupon_price, source, purchase_item_id
  FROM new_rows
  ORDER BY store_id, normalized_product_id, observed_date DESC, id DESC
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
  RETURN NULL;
END $$
"""

# Finds current prices again. Locks first, in the order of the key; each statement after
# that sees what was committed before the locks were granted. In a transaction with one
# snapshot it would not, and a price that was written meanwhile would be lost.
REFRESH = """
CREATE FUNCTION public.current_prices_refresh(stores uuid[], products uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'price_history: rows are deleted or moved in READ COMMITTED only'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  PERFORM FROM public.current_prices AS c
    JOIN unnest(stores, products) AS k (store_id, normalized_product_id)
      USING (store_id, normalized_product_id)
    ORDER BY store_id, normalized_product_id
    FOR UPDATE OF c;
  DELETE FROM public.current_prices AS c
    USING unnest(stores, products) AS k (store_id, normalized_product_id)
    WHERE c.store_id = k.store_id AND c.normalized_product_id = k.normalized_product_id
      AND NOT EXISTS (
        SELECT FROM public.price_history AS h
        WHERE h.store_id = k.store_id AND h.normalized_product_id = k.normalized_product_id
      );
  UPDATE public.current_prices AS c SET
    id = h.id,
    observed_date = h.observed_date,
    regular_price = h.regular_price,
    sale_price = h.sale_price,
    loyalty_price = h.loyalty_price,
    coupon_price = h.coupon_price,
    source = h.source,
    purchase_item_id = h.purchase_item_id
  FROM unnest(stores, products) AS k (store_id, normalized_product_id)
  CROSS JOIN LATERAL (
    SELECT * FROM public.price_history AS p
    WHERE p.store_id = k.store_id AND p.normalized_product_id = k.normalized_product_id
    ORDER BY p.observed_date DESC, p.id DESC
    LIMIT 1
  ) AS h
  WHERE c.store_id = k.store_id AND c.normalized_product_id = k.normalized_product_id;
END $$
"""

AFTER_DELETE = """
CREATE FUNCTION public.current_prices_after_delete() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  PERFORM public.current_prices_refresh(
    array_agg(k.store_id), array_agg(k.normalized_product_id)
  ) FROM (SELECT DISTINCT store_id, normalized_product_id FROM old_rows) AS k;
  RETURN NULL;
END $$
"""

# Observations are immutable but for purchase_item_id, which a deleted purchase takes along:
# that is copied, in any isolation. One that is moved to another series or day leaves a gap.
# The upsert has run before, and holds the locks.
AFTER_UPDATE = """
CREATE FUNCTION public.current_prices_after_update() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  IF EXISTS (
    SELECT store_id, normalized_product_id, observed_date, id FROM old_rows
    EXCEPT
    SELECT store_id, normalized_product_id, observed_date, id FROM new_rows
  ) THEN
    PERFORM public.current_prices_refresh(
      array_agg(k.store_id), array_agg(k.normalized_product_id)
    ) FROM (SELECT DISTINCT store_id, normalized_product_id FROM old_rows) AS k;
    RETURN NULL;
  END IF;
  UPDATE public.current_prices AS c SET
    regular_price = n.regular_price,
    sale_price = n.sale_price,
    loyalty_price = n.loyalty_price,
    coupon_price = n.coupon_price,
    source = n.source,
    purchase_item_id = n.purchase_item_id
  FROM new_rows AS n
  WHERE c.store_id = n.store_id AND c.normalized_product_id = n.normalized_product_id
    AND c.id = n.id;
  RETURN NULL;
END $$
"""

AFTER_TRUNCATE = """
CREATE FUNCTION public.current_prices_after_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  DELETE FROM public.current_prices;
  RETURN NULL;
END $$
"""

FUNCTIONS = {
    "current_prices_upsert()": UPSERT,
    "current_prices_refresh(uuid[], uuid[])": REFRESH,
    "current_prices_after_delete()": AFTER_DELETE,
    "current_prices_after_update()": AFTER_UPDATE,
    "current_prices_after_truncate()": AFTER_TRUNCATE,
}

# Those of one kind fire in the order of their names: on UPDATE the upsert first.
TRIGGERS = {
    "current_prices_delete": (
        "DELETE ON public.price_history REFERENCING OLD TABLE AS old_rows",
        "current_prices_after_delete",
    ),
    "current_prices_insert": (
        "INSERT ON public.price_history REFERENCING NEW TABLE AS new_rows",
        "current_prices_upsert",
    ),
    "current_prices_truncate": (
        "TRUNCATE ON public.price_history",
        "current_prices_after_truncate",
    ),
    "current_prices_update": (
        "UPDATE ON public.price_history REFERENCING NEW TABLE AS new_rows",
        "current_prices_upsert",
    ),
    "current_prices_update_copy": (
        "UPDATE ON public.price_history REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
        "current_prices_after_update",
    ),
}


def upgrade() -> None:
    op.create_table(
        "current_prices",
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("normalized_product_id", sa.Uuid(), nullable=False),
        sa.Column(
            "id", sa.Uuid(), nullable=False, comment="The observation's id in price_history."
        ),
        sa.Column("observed_date", sa.Date(), nullable=False),
        sa.Column("regular_price", sa.Numeric(12, 4), nullable=False),
        sa.Column("sale_price", sa.Numeric(12, 4)),
        sa.Column("loyalty_price", sa.Numeric(12, 4)),
        sa.Column("coupon_price", sa.Numeric(12, 4)),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("purchase_item_id", sa.Uuid()),
        sa.CheckConstraint(
            "source IN ('receipt', 'catalog', 'weekly_ad')", name=op.f("ck_current_prices_source")
        ),
        sa.PrimaryKeyConstraint(
            "store_id", "normalized_product_id", name=op.f("pk_current_prices")
        ),
        comment="The latest price by event time; kept by triggers of price_history.",
    )
    # Free space in each page: a price that is replaced stays in it and touches no index.
    op.execute("ALTER TABLE current_prices SET (fillfactor = 70)")
    for name, definition in FUNCTIONS.items():
        op.execute(definition)
        # Or anybody could make it a trigger of a table of their own, and write prices by it.
        op.execute(f"REVOKE ALL ON FUNCTION public.{name} FROM PUBLIC")
    for name, (change, function) in TRIGGERS.items():
        op.execute(
            f"CREATE TRIGGER {name} AFTER {change}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION public.{function}()"
        )


def downgrade() -> None:
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name} ON public.price_history")
    for name in FUNCTIONS:
        op.execute(f"DROP FUNCTION public.{name}")
    op.drop_table("current_prices")
