"""Refuse to truncate the price history where the current prices cannot follow.

What: the function current_prices_after_truncate refuses other isolation levels than READ
COMMITTED, as the functions for DELETE and UPDATE do.
Why: rows of a writer that has just committed were not seen, and stayed.
Phase: expand.
The previous code sees: the same function, and an error in place of stale rows.
"""

from __future__ import annotations

from alembic import op

revision = "0025_truncated_prices"
down_revision = "0024_one_product_by_name"

CHECK = """
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'price_history: it is truncated in READ COMMITTED only'
      USING ERRCODE = 'feature_not_supported';
  END IF;"""


def function(check: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION public.current_prices_after_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN{check}
  DELETE FROM public.current_prices;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(function(CHECK))


def downgrade() -> None:
    op.execute(function(""))
