"""Tables of a million rows each, written by the server, and what its planner makes of them."""

from __future__ import annotations

import re
import uuid
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from tests.rows import Rows

MILLION = 1_000_000
PRODUCTS = 20_000
USERS = LOCATIONS = 5000
# Ids that ascend, as those of the platform do.
ID = "('00000000-0000-7000-8000-' || lpad(to_hex({}), 12, '0'))::uuid"
OF_PRODUCT = ID.format(f"CASE WHEN n %% 100 > 0 THEN n::bigint * 7919 %% {PRODUCTS} ELSE 0 END")
FILL = {
    # Most of them without a price: of few products, all are read as quickly as some by their key.
    "normalized_products": f"""
        INSERT INTO normalized_products (id, canonical_name)
        SELECT {ID.format("n")}, 'p' || n FROM generate_series(0, 10 * {PRODUCTS} - 1) AS n""",
    "users": f"""
        INSERT INTO users (id, email)
        SELECT 'user-' || n, n || '@parent.example' FROM generate_series(0, {USERS} - 1) AS n""",
    "store_locations": f"""
        INSERT INTO store_locations (id, store_id, address, city, state, zip)
        SELECT {ID.format("n")}, (%(stores)s)[1 + n %% 3], n || ' A St', 'Ann Arbor', 'MI', '48103'
        FROM generate_series(0, {LOCATIONS} - 1) AS n""",
    # In the order in which receipts come: every tenth is a late one. Every hundredth is of milk.
    "price_history": f"""
        INSERT INTO price_history
          (id, normalized_product_id, store_id, observed_date, regular_price, source)
        SELECT {ID.format("n")}, {OF_PRODUCT},
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
        SELECT {ID.format("n")}, 'user-' || n %% {USERS}, (%(stores)s)[1 + n %% 3],
               lpad(n::text, 7, '0'), DATE '2024-01-01' + n / 1370, 1
        FROM generate_series(0, {MILLION} - 1) AS n""",
    # Two lines each of the older half of the purchases; every hundredth is of one product, as milk.
    "purchase_items": f"""
        INSERT INTO purchase_items
          (id, purchase_id, product_name_raw, quantity, unit_price, extended_price,
           normalized_product_id)
        SELECT {ID.format("n")}, {ID.format("n / 2")}, 'MILK 64 FL OZ', 1, 1, 1,
               {ID.format(f"CASE WHEN n %% 100 = 0 THEN 0 ELSE n::bigint * 7919 %% {PRODUCTS} END")}
        FROM generate_series(0, {MILLION} - 1) AS n""",
    "current_prices": f"""
        INSERT INTO current_prices
          (id, normalized_product_id, store_id, observed_date, regular_price, source)
        SELECT {ID.format("n")}, {ID.format("n / 3")}, (%(stores)s)[1 + n %% 3],
               DATE '2025-12-31', n %% 97, 'catalog'
        FROM generate_series(0, {MILLION} - 1) AS n""",
}
LARGE = "|".join(FILL)
STORE, *OTHERS = (uuid.UUID(int=number) for number in (1, 2, 3))
PRODUCT = uuid.UUID("00000000-0000-7000-8000-000000000007")
MILK = uuid.UUID("00000000-0000-7000-8000-000000000000")


def fill(connection: psycopg.Connection[Any]) -> None:
    """Write them all."""
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
            _filled_without_indexes(connection, table, statement, values)
    connection.execute("SET session_replication_role = DEFAULT")


def _filled_without_indexes(
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


def reads_in_whole(plan: str) -> bool:
    """Whether a plan reads every row of one of these tables."""
    return re.search(rf"Seq Scan on ({LARGE})\b", plan) is not None


class Plans:
    """The plans of all that a session runs: of its statements and of those within functions."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._found: list[str] = []

    async def watch(self, mode: str) -> None:
        """Begin: the server tells each plan as it ends."""
        connection = await self._session.connection()
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        for each in (
            "LOAD 'auto_explain'",
            "SET LOCAL auto_explain.log_min_duration = 0",
            "SET LOCAL auto_explain.log_nested_statements = on",
            f"SET LOCAL plan_cache_mode = {mode}",
            "SET LOCAL client_min_messages = log",
        ):
            await connection.execute(text(each))
        driver.add_log_listener(lambda _, told: self._found.append(told.message))

    async def told(self) -> str:
        """What has been run since the last time, as one text."""
        await self._session.execute(text("SELECT 1"))  # a notice is heard with the next answer
        found, self._found = self._found, []
        return "\n".join(found)
