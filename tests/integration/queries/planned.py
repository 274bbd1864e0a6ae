"""The queries of a million rows, and what their plans may read: the index, in its order."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg

from cartsnitch_common.db.queries.coupons import select_active_coupons
from cartsnitch_common.db.queries.increases import select_price_increases
from cartsnitch_common.db.queries.prices import select_latest_prices, select_price_history
from cartsnitch_common.db.queries.purchases import select_purchases
from cartsnitch_common.db.queries.sizes import select_size_history
from tests.integration.queries.a_million import MILK, PRODUCT, STORE, reads_in_whole
from tests.integration.queries.products import Plan

TODAY = dt.date(2025, 12, 31)
WEEK = dt.date(2025, 12, 25)
MIDDLE = (dt.date(2025, 1, 1), PRODUCT)
SERIES: Final = "ix_price_history_series"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """A query, and the bounds of its plan.

    Attributes:
        query: The statement.
        index: The index that it reads.
        rows: The most rows, or entries of an index, that a step may find in all its runs.
        blocks: The most blocks, from memory or from disk.
        position: The comparison with the position that a page begins behind, as far as the
            index itself has to do it; None: it is none of the index's.
        sorts: How often rows are sorted; None: as the planner likes.
    """

    query: Select[Any]
    index: str
    rows: int
    blocks: int
    position: str | None = None
    sorts: int | None = None

    def check(self, connection: psycopg.Connection[Any], mode: str) -> str:
        """Run it, as asyncpg does, and return its plan."""
        plan = _plan(connection, self.query, mode)
        assert self.index in plan.text, plan.text
        assert not reads_in_whole(plan.text), plan.text
        if self.position is not None:
            begins = [line for line in plan.text.splitlines() if "Index Cond: " in line]
            assert any(self.position in line for line in begins), plan.text
        if self.sorts is not None:
            assert plan.text.count("Sort Key: ") == self.sorts, plan.text
        assert plan.rows <= self.rows, plan.text
        assert plan.blocks <= self.blocks, plan.text
        return plan.text


def _plan(connection: psycopg.Connection[Any], query: Select[Any], mode: str) -> Plan:
    """How a statement was run that is prepared, as asyncpg prepares it."""
    compiled = query.compile(dialect=asyncpg.dialect(), compile_kwargs={"render_postcompile": True})
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    given = sql.SQL(" ({})").format(sql.SQL(", ").join(map(sql.Literal, values)))
    connection.execute(sql.SQL("SET plan_cache_mode = {}").format(sql.Literal(mode)))
    connection.execute(f"PREPARE asked AS {compiled.string}")
    asked = sql.SQL("EXPLAIN (ANALYZE, BUFFERS) EXECUTE asked") + (given if values else sql.SQL(""))
    found = connection.execute(asked).fetchall()
    connection.execute("DEALLOCATE asked")
    return Plan("\n".join(line for (line,) in found))


PLANNED: dict[str, Planned] = {
    "a latest price": Planned(
        query=select_latest_prices([PRODUCT], store_id=STORE),
        index=SERIES,
        rows=1,
        blocks=8,
        sorts=0,
    ),
    "a latest price of a long series": Planned(
        query=select_latest_prices([MILK], store_id=STORE),
        index=SERIES,
        rows=1,
        blocks=8,
        sorts=0,
    ),
    "the latest prices at each store": Planned(
        query=select_latest_prices([PRODUCT, MILK] * 10),
        index=SERIES,
        rows=60,
        blocks=60 * 6,
        sorts=1,  # the answer, by product and store
    ),
    "the prices of a day": Planned(
        query=select_latest_prices([MILK], store_id=STORE, until=WEEK),
        index=SERIES,
        rows=1,
        blocks=8,
        position="observed_date <= ",
        sorts=0,
    ),
    "a page of a series": Planned(
        query=select_price_history(PRODUCT, store_id=STORE, after=MIDDLE),
        index=SERIES,
        rows=10,  # all that there are, which the planner may as well sort
        blocks=15,
        position="ROW(observed_date, id) > ",
    ),
    "a page of a long series": Planned(
        query=select_price_history(MILK, store_id=STORE, after=MIDDLE),
        index=SERIES,
        rows=50,
        blocks=60,
        position="ROW(observed_date, id) > ",
        sorts=0,
    ),
    "a page of a product": Planned(
        query=select_price_history(MILK, after=MIDDLE, until=TODAY),
        index=SERIES,
        rows=3 * 50,  # a page of each store
        blocks=3 * 60,
        position="ROW(observed_date, id) > ",
        sorts=1,
    ),
    "increases of a week": Planned(
        query=select_price_increases(WEEK),
        index="ix_price_history_store_id_observed_date",
        rows=10_000,
        blocks=50_000,
    ),
    "increases of a week at a store": Planned(
        query=select_price_increases(WEEK, store_id=STORE),
        index="ix_price_history_store_id_observed_date",
        rows=3500,
        blocks=17_000,
    ),
    "increases of a product": Planned(
        query=select_price_increases(WEEK, product_id=PRODUCT), index=SERIES, rows=20, blocks=60
    ),
    "coupons": Planned(
        query=select_active_coupons(TODAY),
        index="ix_coupons_store_id_valid_to",
        rows=11_000,
        blocks=1400,
    ),
    "coupons of a store": Planned(
        query=select_active_coupons(TODAY, store_id=STORE, after=PRODUCT),
        index="ix_coupons_store_id_valid_to",
        rows=4500,
        blocks=1400,
    ),
    "coupons of a product": Planned(
        query=select_active_coupons(TODAY, product_id=PRODUCT),
        index="ix_coupons_normalized_product_id",
        rows=11_000,  # the product's alone, or those of them that the active ones are among
        blocks=70,
    ),
    "coupons of a product or the basket": Planned(
        query=select_active_coupons(TODAY, store_id=STORE, product_id=PRODUCT, basket=True),
        index="ix_coupons_store_id_valid_to",
        rows=4500,  # those that are active at the store, and none that have expired
        blocks=1400,
    ),
    "a page of a user's purchases": Planned(
        query=select_purchases("user-7", after=(WEEK, PRODUCT)),
        index="ix_purchases_user_id_purchase_date_id",
        rows=50,
        blocks=60,
        position="ROW(purchase_date, id) < ",
        sorts=0,
    ),
    "a page of the sizes of a product": Planned(
        query=select_size_history(PRODUCT, after=(WEEK, PRODUCT), limit=100),
        index="ix_purchase_items_normalized_product_id",
        rows=60,
        blocks=320,
    ),
    "a page of the sizes of a product on many receipts": Planned(
        query=select_size_history(MILK, after=(WEEK, PRODUCT), limit=100),
        index="ix_purchase_items_normalized_product_id",
        rows=10_000,
        blocks=60_000,
    ),
    "the sizes of a week at a store": Planned(
        query=select_size_history(MILK, store_id=STORE, since=WEEK, until=TODAY),
        index="ix_purchase_items_normalized_product_id",
        rows=10_000,
        blocks=60_000,
    ),
}
