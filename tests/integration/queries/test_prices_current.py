from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.queries.prices import current_prices
from tests.rows import Rows

DAY = dt.date(2026, 3, 10)

COLUMNS = (
    "store_id, normalized_product_id, id, observed_date, regular_price, sale_price,"
    " loyalty_price, coupon_price, source, purchase_item_id"
)
KEPT = f"SELECT {COLUMNS} FROM current_prices ORDER BY store_id, normalized_product_id"
FOUND = (
    f"SELECT DISTINCT ON (store_id, normalized_product_id) {COLUMNS} FROM price_history"
    " ORDER BY store_id, normalized_product_id, observed_date DESC, id DESC"
)


def check(connection: psycopg.Connection[Any], product: Any = None) -> list[Any]:
    """The table is what the history says, of one product or of all."""
    kept, found = (
        [row for row in connection.execute(query) if product in {None, row[1]}]
        for query in (KEPT, FOUND)
    )
    assert kept == found
    return kept


@pytest.fixture(scope="module")
def connection(shared_database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(shared_database, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="module")
def world(connection: psycopg.Connection[Any]) -> tuple[list[Any], list[Any]]:
    rows = Rows(connection)
    stores = [rows.add("stores", slug=slug) for slug in ("meijer", "kroger")]
    return stores, [rows.add("normalized_products") for _ in range(3)]


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
    connection: psycopg.Connection[Any], world: Any, script: list[Any]
) -> None:
    """After any statement the table holds the latest of each series, to the last column."""
    stores, products = world
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


def insert(
    connection: psycopg.Connection[Any], stores: list[Any], products: list[Any], batch: list[Any]
) -> None:
    values = [
        (
            uuid.UUID(int=(price["number"] << 96) | uuid.uuid4().int >> 40),
            products[price["product"]],
            stores[price["store"]],
            DAY + dt.timedelta(days=price["day"]),
            Decimal(price["cents"]) / 100,
        )
        for price in batch
    ]
    rows = ", ".join(["(%s, %s, %s, %s, %s, 'catalog')"] * len(values))
    connection.execute(
        "INSERT INTO price_history"
        " (id, normalized_product_id, store_id, observed_date, regular_price, source)"
        f" VALUES {rows}",
        list(itertools.chain(*values)),
    )


def test_a_backfilled_price_replaces_nothing(
    connection: psycopg.Connection[Any], world: Any
) -> None:
    """An old receipt that is read late changes nothing; a correction of the day does."""
    with connection.transaction(force_rollback=True):
        rows = Rows(connection)
        one = {"store_id": world[0][0], "normalized_product_id": world[1][0]}
        now = rows.add("price_history", **one, observed_date=DAY, id=uuid.UUID(int=5))
        rows.add("price_history", **one, observed_date=dt.date(2020, 1, 1), id=uuid.UUID(int=9))
        assert [row[2] for row in check(connection)] == [now]
        fixed = rows.add("price_history", **one, observed_date=DAY, id=uuid.UUID(int=6))
        assert [row[2] for row in check(connection)] == [fixed]


def test_a_copy_goes_through_the_triggers(connection: psycopg.Connection[Any], world: Any) -> None:
    """Rows that are loaded by COPY are seen as well."""
    stores, products = world
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


# -- transactions that meet ----------------------------------------------------


def newer(rows: Rows, series: dict[str, Any]) -> None:
    rows.add("price_history", **series, observed_date=DAY + dt.timedelta(days=5))


def middle(rows: Rows, series: dict[str, Any]) -> None:
    rows.add("price_history", **series, observed_date=DAY - dt.timedelta(days=1))


def delete_latest(rows: Rows, series: dict[str, Any]) -> None:
    rows.connection.execute(
        "DELETE FROM price_history WHERE normalized_product_id = %s AND observed_date = %s",
        (series["normalized_product_id"], DAY),
    )


def delete_oldest(rows: Rows, series: dict[str, Any]) -> None:
    rows.connection.execute(
        "DELETE FROM price_history WHERE normalized_product_id = %s AND observed_date < %s",
        (series["normalized_product_id"], DAY - dt.timedelta(days=1)),
    )


def reprice(rows: Rows, series: dict[str, Any]) -> None:
    rows.connection.execute(
        "UPDATE price_history SET sale_price = 0.5"
        " WHERE normalized_product_id = %s AND observed_date < %s",
        (series["normalized_product_id"], DAY),
    )


ACTIONS = [newer, middle, delete_latest, delete_oldest, reprice]


@pytest.mark.parametrize("ends", ["COMMIT", "ROLLBACK"])
@pytest.mark.parametrize(("first", "second"), list(itertools.product(ACTIONS, ACTIONS)))
def test_two_transactions_leave_the_latest(
    shared_database: str, world: Any, first: Any, second: Any, ends: str
) -> None:
    """Whichever waits for which, and however the first ends, the table is the history's."""
    with (
        psycopg.connect(shared_database) as one,
        psycopg.connect(shared_database) as other,
    ):
        with one.transaction():
            product = Rows(one).add("normalized_products")
            series = {"store_id": world[0][0], "normalized_product_id": product}
            for days in (0, 3):
                day = DAY - dt.timedelta(days=days)
                Rows(one).add("price_history", **series, observed_date=day)
        first(Rows(one), series)
        thread = threading.Thread(target=second, args=(Rows(other), series))
        thread.start()
        thread.join(0.03)
        one.execute(ends)
        thread.join(20)
        assert not thread.is_alive()
        other.commit()
        check(one, product)


def test_one_snapshot_is_refused_where_it_would_lose_a_price(
    shared_database: str, world: Any
) -> None:
    """A delete needs READ COMMITTED, and says so; what a cascade unsets does not."""
    with psycopg.connect(shared_database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        rows = Rows(connection)
        product = rows.add("normalized_products")
        series = {"store_id": world[0][0], "normalized_product_id": product}
        rows.add("price_history", **series)
        connection.execute("UPDATE price_history SET sale_price = 1")
        check(connection)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="READ COMMITTED"):
            delete_latest(rows, series)
        connection.rollback()


def test_writers_of_the_same_products_never_deadlock(shared_database: str, world: Any) -> None:
    """Four writers and a deleter on thirty series for a second: no error, and the latest stay."""
    stores, _ = world
    with psycopg.connect(shared_database, autocommit=True) as connection:
        products = [Rows(connection).add("normalized_products") for _ in range(15)]
    failed: list[BaseException] = []
    until = time.monotonic() + 1.5

    def write(seed: int) -> None:
        batch = [
            {"product": (seed * 7 + k * (seed + 1)) % 15, "store": k % 2, "day": 0, "cents": k}
            for k in range(30)
        ]
        number = 0
        try:
            with psycopg.connect(shared_database, autocommit=True) as connection:
                while time.monotonic() < until:
                    number += 1
                    for price in batch:
                        price["number"] = number
                        price["day"] = (number * (seed + 3)) % 11
                    # Each writer has its own order of the products.
                    insert(connection, stores, products, batch[::-1] if seed % 2 else batch)
        except psycopg.Error as error:
            failed.append(error)

    def delete() -> None:
        try:
            with psycopg.connect(shared_database, autocommit=True) as connection:
                while time.monotonic() < until:
                    connection.execute(
                        "DELETE FROM price_history WHERE id IN (SELECT id FROM current_prices"
                        " WHERE normalized_product_id = ANY(%s) ORDER BY random() LIMIT 5)",
                        (products,),
                    )
        except psycopg.Error as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    threads.append(threading.Thread(target=delete))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failed
    with psycopg.connect(shared_database) as connection:
        check(connection)


# -- the migration -------------------------------------------------------------


def test_what_was_there_before_is_copied_beside_writers(empty_database: str) -> None:
    """Old rows are filled in, in batches, while others write; and again without a change."""
    target = Settings.load(database_url=empty_database)
    migrate.upgrade(target, "0012_event_inbox")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        rows = Rows(connection)
        store = rows.the("stores")
        connection.execute(
            "INSERT INTO normalized_products (canonical_name)"
            " SELECT 'p' || n FROM generate_series(1, 2500) AS n"
        )
        connection.execute(
            "INSERT INTO price_history"
            " (normalized_product_id, store_id, observed_date, regular_price, source)"
            " SELECT id, %s, DATE '2026-01-01' + d, d, 'catalog'"
            " FROM normalized_products, generate_series(1, 4) AS d",
            (store,),
        )
        migrate.upgrade(target, "0013_current_prices")
        done = threading.Event()
        writer = threading.Thread(target=write_until, args=(empty_database, done))
        writer.start()
        try:
            migrate.upgrade(target, "0014_current_prices_filled")
        finally:
            done.set()
            writer.join(20)
        assert len(check(connection)) == 2500
        migrate.downgrade(target, "0013_current_prices")
        migrate.upgrade(target, "0014_current_prices_filled")
        assert len(check(connection)) == 2500


def write_until(url: str, done: threading.Event) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        while not done.is_set():
            connection.execute(
                "INSERT INTO price_history"
                " (normalized_product_id, store_id, observed_date, regular_price, source)"
                " SELECT p.id, s.id, DATE '2026-01-03' + (random() * 4)::int, 1, 'catalog'"
                " FROM stores AS s, (SELECT id FROM normalized_products"
                " ORDER BY random() LIMIT 20) AS p"
            )


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
