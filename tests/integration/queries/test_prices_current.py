from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.db.queries.prices import current_prices
from tests.integration.queries.kept_prices import DAY, check, insert
from tests.rows import Rows


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


# -- whatever is written -------------------------------------------------------

prices = st.fixed_dictionaries(
    {
        "product": st.integers(0, 2),
        "store": st.integers(0, 1),
        "day": st.integers(0, 3),
        "number": st.integers(0, 99),  # of the id, and so the order of recording
        "cents": st.integers(0, 999),
    }
)
conditions = st.sampled_from(
    [
        "true",
        "observed_date > '2026-03-11'",
        "regular_price > 5",
        "id IN (SELECT id FROM current_prices)",
        "id IN (SELECT id FROM price_history ORDER BY id LIMIT 1)",
    ]
)
changes = st.sampled_from(
    [
        "regular_price = regular_price + 1",
        "sale_price = 0.0001, source = 'weekly_ad'",
        "observed_date = observed_date - 1",
        "observed_date = DATE '2026-03-13' - (observed_date - DATE '2026-03-10')",
        "normalized_product_id = (SELECT min(id::text)::uuid FROM normalized_products)",
        "id = gen_random_uuid()",
        "loyalty_price = NULL",
    ]
)
steps = st.one_of(
    st.tuples(st.just("insert"), st.lists(prices, min_size=1, max_size=8)),
    st.tuples(st.just("insert"), st.lists(prices, min_size=1, max_size=8)),
    st.tuples(st.just("delete"), conditions),
    st.tuples(st.just("update"), st.tuples(changes, conditions)),
    st.tuples(st.just("truncate"), st.none()),
)


@settings(max_examples=80)
@given(script=st.lists(steps, min_size=1, max_size=7))
def test_the_table_is_what_the_history_says(
    connection: psycopg.Connection[Any], stores_and_products: Any, script: list[Any]
) -> None:
    """After any statement the table holds the latest of each series, to the last column."""
    stores, products = stores_and_products
    with connection.transaction(force_rollback=True):
        for verb, argument in script:
            match verb:
                case "insert":
                    insert(connection, stores, products, argument)
                case "delete":
                    connection.execute(f"DELETE FROM price_history WHERE {argument}")
                case "update":
                    change, condition = argument
                    connection.execute(f"UPDATE price_history SET {change} WHERE {condition}")
                case _:
                    connection.execute("TRUNCATE price_history")
            check(connection)


def test_a_backfilled_price_replaces_nothing(
    connection: psycopg.Connection[Any], stores_and_products: Any
) -> None:
    """An old receipt that is read late changes nothing; a correction of the day does."""
    with connection.transaction(force_rollback=True):
        rows = Rows(connection)
        one = {
            "store_id": stores_and_products[0][0],
            "normalized_product_id": stores_and_products[1][0],
        }
        now = rows.add("price_history", **one, observed_date=DAY, id=uuid.UUID(int=5))
        rows.add("price_history", **one, observed_date=dt.date(2020, 1, 1), id=uuid.UUID(int=9))
        assert [row[2] for row in check(connection)] == [now]
        fixed = rows.add("price_history", **one, observed_date=DAY, id=uuid.UUID(int=6))
        assert [row[2] for row in check(connection)] == [fixed]


def test_a_copy_goes_through_the_triggers(
    connection: psycopg.Connection[Any], stores_and_products: Any
) -> None:
    """Rows that are loaded by COPY are seen as well."""
    stores, products = stores_and_products
    with connection.transaction(force_rollback=True):
        with connection.cursor().copy(
            "COPY price_history (normalized_product_id, store_id, observed_date, regular_price,"
            " source) FROM STDIN"
        ) as copy:
            for number in range(300):
                day = DAY + dt.timedelta(days=number % 7)
                copy.write_row((products[number % 3], stores[number % 2], day, number, "catalog"))
        assert len(check(connection)) == 6


# -- what a deleted purchase takes along ---------------------------------------


def test_a_deleted_user_is_unset_in_the_copy(rows: Rows) -> None:
    """The copy's purchase_item_id goes with the line, also where one user had many."""
    for _ in range(3):
        purchase = rows.add("purchases", receipt_id=str(uuid.uuid4()))
        for _ in range(4):
            item = rows.add("purchase_items", purchase_id=purchase)
            product = rows.add("normalized_products")
            rows.add(
                "price_history",
                normalized_product_id=product,
                purchase_item_id=item,
                source="receipt",
            )
    assert all(row[-1] is not None for row in check(rows.connection))
    rows.connection.execute("DELETE FROM users")
    kept = check(rows.connection)
    assert [row[-1] for row in kept] == [None] * 12


def test_who_deletes_a_user_needs_no_right_on_prices(rows: Rows) -> None:
    """The API deletes users, and has no right on the tables that follow."""
    item = rows.add("purchase_items")
    rows.add("price_history", purchase_item_id=item, source="receipt")
    with rows.connection.transaction():
        rows.connection.execute("CREATE ROLE deleter")
        rows.connection.execute("GRANT SELECT, DELETE ON users TO deleter")
        rows.connection.execute("SET LOCAL ROLE deleter")
        rows.connection.execute("DELETE FROM users")
        rows.connection.execute("RESET ROLE")
        rows.connection.execute("DROP OWNED BY deleter")
        rows.connection.execute("DROP ROLE deleter")
    assert [row[-1] for row in check(rows.connection)] == [None]


def test_nobody_writes_current_prices_by_a_trigger_of_their_own(rows: Rows) -> None:
    """The functions run as their owner, so no other role may use them."""
    functions = rows.connection.execute(
        "SELECT oid::regprocedure::text, proacl::text, prosecdef, proconfig FROM pg_proc"
        " WHERE proname LIKE 'current_prices%'"
    ).fetchall()
    assert len(functions) == 5
    for name, rights, as_owner, config in functions:
        assert as_owner, name
        assert config == ['search_path=""'], name
        assert "{=" not in rights, name
        assert ",=" not in rights, name


# -- reading it ----------------------------------------------------------------


async def test_a_stores_current_prices_are_observations(rows: Rows, session: AsyncSession) -> None:
    """Each product's latest observation at the store, ascending by product, in pages."""
    stores = [rows.the("stores"), rows.add("stores", slug="kroger")]
    products = sorted(rows.add("normalized_products") for _ in range(5))
    for product in products:
        for store in stores:
            for day in (12, 11, 13, 10):
                rows.add(
                    "price_history",
                    normalized_product_id=product,
                    store_id=store,
                    observed_date=dt.date(2026, 3, day),
                    regular_price=day,
                )
    found = await current_prices(session, stores[0])
    assert [row.normalized_product_id for row in found] == products
    assert {(row.store_id, row.regular_price) for row in found} == {(stores[0], Decimal(13))}
    page = await current_prices(session, stores[0], after=products[1], limit=2)
    assert [row.normalized_product_id for row in page] == products[2:4]
