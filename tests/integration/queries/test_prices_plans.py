"""What the planner does on a million rows, for the values at hand and for any."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Select
from sqlalchemy.dialects.postgresql import asyncpg

from cartsnitch_common.db.queries.coupons import select_active_coupons
from cartsnitch_common.db.queries.increases import select_price_increases
from cartsnitch_common.db.queries.prices import (
    select_current_prices,
    select_latest_prices,
    select_price_history,
)
from cartsnitch_common.db.queries.purchases import select_purchases
from cartsnitch_common.db.queries.sizes import select_size_history
from tests.rows import Rows

MILLION = 1_000_000
PRODUCTS = 20_000
TODAY = dt.date(2025, 12, 31)
WEEK = dt.date(2025, 12, 25)
# Ids that ascend, as those of the platform do.
ID = "('00000000-0000-7000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"
FILL = {
    "normalized_products": f"""
        INSERT INTO normalized_products (id, canonical_name)
        SELECT {ID.format("n")}, 'p' || n FROM generate_series(0, {PRODUCTS} - 1) AS n""",
    # In the order in which receipts come: every tenth is a late one.
    "price_history": f"""
        INSERT INTO price_history
          (id, normalized_product_id, store_id, observed_date, regular_price, source)
        SELECT {ID.format("n")}, {ID.format(f"n::bigint * 7919 %% {PRODUCTS}")},
               (%(stores)s)[1 + n %% 3],
               DATE '2024-01-01' + (CASE WHEN n %% 10 = 0 THEN n::bigint * 31 %% 731
                                         ELSE n * 731::bigint / {MILLION} END)::int,
               n %% 97, 'catalog'
        FROM generate_series(0, {MILLION} - 1) AS n""",
    "coupons": f"""
        INSERT INTO coupons
          (id, store_id, normalized_product_id, title, discount_type, valid_from, valid_to)
        SELECT {ID.format("n")}, (%(stores)s)[1 + n %% 3],
               CASE WHEN n %% 4 > 0 THEN {ID.format(f"n %% {PRODUCTS}")} END, 'Save', 'fixed',
               CASE WHEN n %% 50 > 0 THEN DATE '2024-01-01' + n / 1370 END,
               CASE WHEN n %% 999 > 0 THEN DATE '2024-01-08' + n / 1370 END
        FROM generate_series(0, {MILLION} - 1) AS n""",
    "purchases": f"""
        INSERT INTO purchases (id, user_id, store_id, receipt_id, purchase_date, total)
        SELECT {ID.format("n")}, 'user-' || n %% 5000, (%(stores)s)[1 + n %% 3],
               lpad(n::text, 7, '0'), DATE '2024-01-01' + n / 1370, 1
        FROM generate_series(0, {MILLION} - 1) AS n""",
    # One product is on every hundredth line, as milk is.
    "purchase_items": f"""
        INSERT INTO purchase_items (id, purchase_id, product_name_raw, quantity, unit_price,
                                    extended_price, normalized_product_id)
        SELECT {ID.format("n")}, {ID.format(f"n::bigint * 7919 %% {MILLION}")}, 'X 1OZ', 1, 1, 1,
               {ID.format(f"CASE WHEN n %% 100 = 0 THEN 0 ELSE n::bigint * 7919 %% {PRODUCTS} END")}
        FROM generate_series(0, {MILLION} - 1) AS n""",
}
STORE, *OTHERS = (uuid.UUID(int=number) for number in (1, 2, 3))
PRODUCT = uuid.UUID("00000000-0000-7000-8000-000000000007")
MILK = uuid.UUID("00000000-0000-7000-8000-000000000000")


@pytest.fixture(scope="module")
def million(shared_database: str) -> Iterator[psycopg.Connection[Any]]:
    """Four tables of a million rows each, written by the server."""
    with psycopg.connect(shared_database, autocommit=True, prepare_threshold=None) as connection:
        rows = Rows(connection)
        values = {
            "stores": [
                rows.add("stores", id=id_, slug=slug)
                for id_, slug in zip((STORE, *OTHERS), ("meijer", "kroger", "target"), strict=True)
            ],
        }
        # Foreign keys and triggers rest: they are not what is tried here.
        connection.execute("SET session_replication_role = replica")
        for table, statement in FILL.items():
            with connection.transaction():
                filled_without_indexes(connection, table, statement, values)
        connection.execute("SET session_replication_role = DEFAULT")
        yield connection


def filled_without_indexes(
    connection: psycopg.Connection[Any], table: str, statement: str, values: dict[str, Any]
) -> None:
    """Fill a table, and build its indexes at the end, which is quicker."""
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
        " AND indexname LIKE 'ix_%%'",
        (table,),
    ).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    connection.execute(statement, values)
    for _, definition in indexes:
        connection.execute(definition)
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))


def plan(connection: psycopg.Connection[Any], query: Select[Any], mode: str) -> str:
    """The plan of a statement that is prepared, as asyncpg prepares it."""
    compiled = query.compile(dialect=asyncpg.dialect(), compile_kwargs={"render_postcompile": True})
    values = [compiled.params[name] for name in compiled.positiontup or ()]
    arguments = sql.SQL(", ").join(map(sql.Literal, values))
    connection.execute(sql.SQL("SET plan_cache_mode = {}").format(sql.Literal(mode)))
    connection.execute(f"PREPARE asked AS {compiled.string}")
    found = connection.execute(sql.SQL("EXPLAIN EXECUTE asked ({})").format(arguments)).fetchall()
    connection.execute("DEALLOCATE asked")
    return "\n".join(line for (line,) in found)


QUERIES: dict[str, tuple[Select[Any], str]] = {
    "a latest price": (
        select_latest_prices([PRODUCT], store_id=STORE),
        "ix_price_history_series",
    ),
    "the latest prices at each store": (
        select_latest_prices([PRODUCT] * 20),
        "ix_price_history_series",
    ),
    "the prices of a day": (
        select_latest_prices([PRODUCT], store_id=STORE, until=WEEK),
        "ix_price_history_series",
    ),
    "a page of a series": (
        select_price_history(PRODUCT, store_id=STORE, after=(WEEK, PRODUCT)),
        "ix_price_history_series",
    ),
    "a page of a product": (
        select_price_history(PRODUCT, since=WEEK, until=TODAY),
        "ix_price_history_series",
    ),
    "increases of a week": (
        select_price_increases(WEEK),
        "ix_price_history_store_id_observed_date",
    ),
    "increases of a week at a store": (
        select_price_increases(WEEK, store_id=STORE),
        "ix_price_history_store_id_observed_date",
    ),
    "increases of a product": (
        select_price_increases(WEEK, product_id=PRODUCT),
        "ix_price_history_series",
    ),
    "coupons": (select_active_coupons(TODAY), "ix_coupons_store_id_valid_to"),
    "coupons of a store": (
        select_active_coupons(TODAY, store_id=STORE, after=PRODUCT),
        "ix_coupons_store_id_valid_to",
    ),
    "coupons of a product": (
        select_active_coupons(TODAY, product_id=PRODUCT),
        "ix_coupons_normalized_product_id",
    ),
    "coupons of a product or the basket": (
        select_active_coupons(TODAY, store_id=STORE, product_id=PRODUCT, basket=True),
        "ix_coupons_store_id_valid_to",
    ),
    "a page of a user's purchases": (
        select_purchases("user-7", after=(WEEK, PRODUCT)),
        "ix_purchases_user_id_purchase_date_id",
    ),
    "a page of the sizes of a product": (
        select_size_history(PRODUCT, after=(WEEK, PRODUCT), limit=100),
        "ix_purchase_items_normalized_product_id",
    ),
    "a page of the sizes of a product on many receipts": (
        select_size_history(MILK, after=(WEEK, PRODUCT), limit=100),
        "ix_purchase_items_normalized_product_id",
    ),
    "the sizes of a week at a store": (
        select_size_history(MILK, store_id=STORE, since=WEEK, until=TODAY),
        "ix_purchase_items_normalized_product_id",
    ),
}


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("name", QUERIES)
def test_no_query_reads_a_whole_table(
    million: psycopg.Connection[Any], name: str, mode: str
) -> None:
    """The index serves, also once the statement has run often and has one plan for all values."""
    query, index = QUERIES[name]
    found = plan(million, query, mode)
    assert index in found, found
    assert not re.search(r"Seq Scan on (price_history|coupons|purchases|purchase_items)", found), (
        found
    )


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
def test_a_stores_prices_are_read_from_the_kept_table(
    million: psycopg.Connection[Any], mode: str
) -> None:
    """Its key gives the store's rows in their order; the history is not touched."""
    million.execute("SET enable_seqscan = off")  # the table is small here
    found = plan(million, select_current_prices(STORE, after=PRODUCT, limit=50), mode)
    million.execute("RESET enable_seqscan")
    assert "pk_current_prices" in found
    assert "price_history" not in found
