"""Truncate the current prices with the price history.

What: the function current_prices_after_truncate truncates current_prices in place of deleting
what its transaction sees.
Why: at another isolation level than READ COMMITTED rows of a writer that has just committed were
not seen, and stayed.
Phase: expand.
The previous code sees: the same function.
"""

from __future__ import annotations

from alembic import op

revision = "0025_truncated_prices"
down_revision = "0024_one_product_by_name"


def function(body: str) -> str:
    return f"""
CREATE OR REPLACE FUNCTION public.current_prices_after_truncate() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
  {body} public.current_prices;
  RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.execute(function("TRUNCATE"))


def downgrade() -> None:
    op.execute(function("DELETE FROM"))
