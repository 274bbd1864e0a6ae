"""The table of current prices while several transactions write."""

from __future__ import annotations

import datetime as dt
import itertools
import threading
import time
from typing import Any

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from tests.integration.queries.kept_prices import DAY, check, insert
from tests.rows import Rows

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
    shared_database: str, stores_and_products: Any, first: Any, second: Any, ends: str
) -> None:
    """Whichever waits for which, and however the first ends, the table is the history's."""
    with (
        psycopg.connect(shared_database) as one,
        psycopg.connect(shared_database) as other,
    ):
        with one.transaction():
            product = Rows(one).add("normalized_products")
            series = {"store_id": stores_and_products[0][0], "normalized_product_id": product}
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
    shared_database: str, stores_and_products: Any
) -> None:
    """A delete needs READ COMMITTED, and says so; what a cascade unsets does not."""
    with psycopg.connect(shared_database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        rows = Rows(connection)
        product = rows.add("normalized_products")
        series = {"store_id": stores_and_products[0][0], "normalized_product_id": product}
        rows.add("price_history", **series)
        connection.execute("UPDATE price_history SET sale_price = 1")
        check(connection)
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="READ COMMITTED"):
            delete_latest(rows, series)
        connection.rollback()


def test_writers_of_the_same_products_never_deadlock(
    shared_database: str, stores_and_products: Any
) -> None:
    """Four writers and a deleter on thirty series for a second: no error, and the latest stay."""
    stores, _ = stores_and_products
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


def test_a_truncated_history_leaves_no_price(database: str, rows: Rows) -> None:
    """Where a transaction does not see who has just written one, it may not truncate."""
    one = {"store_id": rows.the("stores"), "normalized_product_id": rows.the("normalized_products")}
    with psycopg.connect(database) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT FROM stores")
        rows.add("price_history", **one, observed_date=DAY)
        with pytest.raises(psycopg.errors.FeatureNotSupported):
            connection.execute("TRUNCATE price_history")
    assert len(check(rows.connection)) == 1
    for tables in (
        "price_history",
        "price_history, current_prices",
        "normalized_products CASCADE",
    ):
        rows.connection.execute(f"TRUNCATE {tables}")
        assert check(rows.connection) == []
        one["normalized_product_id"] = rows.add("normalized_products")
        rows.add("price_history", **one, observed_date=DAY)


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
