"""What grows with the price history and what stays flat."""

from __future__ import annotations

import datetime as dt
import statistics
from typing import TYPE_CHECKING, Any, Final

from _bench.dataset import LAST_DAY, PRICE_COLUMNS, ready_prices
from _bench.scale.timing import (
    Table,
    milliseconds,
    planned_once_milliseconds,
    rolled_back,
    seconds,
    sizes,
    write_cost,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from psycopg import Connection

    type Series = list[tuple[Any, Any]]
    type Measure = Callable[[Connection], list[float]]

PAGE: Final = 50
"""Rows of a page of history."""

BATCH: Final = 20
"""Prices of a receipt."""

READY: Final = 10_000
"""Prices of a load by COPY."""

_SERIES: Final = 600

LATEST: Final = """
    SELECT * FROM price_history WHERE normalized_product_id = %s AND store_id = %s
     ORDER BY observed_date DESC, id DESC LIMIT 1"""

HISTORY: Final = LATEST.replace("LIMIT 1", f"LIMIT {PAGE}")

LATEST_OF_MANY: Final = """
    SELECT latest.* FROM unnest(%s::uuid[]) AS wanted (product) CROSS JOIN LATERAL (
           SELECT * FROM price_history AS price
            WHERE price.normalized_product_id = wanted.product AND price.store_id = %s
            ORDER BY price.observed_date DESC, price.id DESC LIMIT 1) AS latest"""

WEEK: Final = f"""
    SELECT count(*), avg(regular_price) FROM price_history
     WHERE observed_date BETWEEN '{LAST_DAY - dt.timedelta(days=6)}' AND '{LAST_DAY}'"""

WEEK_AT_STORES: Final = f"{WEEK} AND store_id = ANY (ARRAY (SELECT id FROM stores))"

STORE_DISTINCT: Final = """
    SELECT DISTINCT ON (normalized_product_id) * FROM price_history WHERE store_id = %s
     ORDER BY normalized_product_id, observed_date DESC, id DESC"""

STORE_LATERAL: Final = """
    SELECT latest.* FROM normalized_products AS product CROSS JOIN LATERAL (
           SELECT * FROM price_history AS price
            WHERE price.normalized_product_id = product.id AND price.store_id = %s
            ORDER BY price.observed_date DESC, price.id DESC LIMIT 1) AS latest"""


def growth(databases: Mapping[int, Connection], *, products: int) -> None:
    """Print sizes and times for each number of prices."""
    columns = [f"{rows:,} rows" for rows in databases]
    disk = Table("Sizes in MB", "", *columns)
    found = [sizes(connection, "price_history") for connection in databases.values()]
    for name in found[0]:
        disk.add(f"`{name}`", *(one[name] / 1e6 for one in found))
    disk.show()

    for rows, connection in databases.items():
        connection.execute(ready_prices(READY, existing=rows, products=products))
    times = Table("Times in ms", "", *columns)
    work: tuple[tuple[Measure, tuple[str, ...]], ...] = (
        (reads, ("`SELECT 1`", "latest price", f"page of {PAGE}", "twenty latest, one LATERAL")),
        (scans, ("a week over all series", "a store's latest, DISTINCT ON", "the same, LATERAL")),
        (writes, (f"insert of {BATCH}", f"COPY of {READY:,}")),
        (maintenance, ("VACUUM", "ANALYZE")),
    )
    for measure, names in work:
        columns_of_times = [measure(connection) for connection in databases.values()]
        for number, name in enumerate(names):
            times.add(name, *(column[number] for column in columns_of_times))
    times.show()


def series(connection: Connection, *, at_least: int = PAGE) -> Series:
    """Series of product and store with at least so many prices, in an order without meaning."""
    rows = connection.execute(
        "SELECT normalized_product_id, store_id FROM price_history GROUP BY 1, 2"
        " HAVING count(*) >= %s ORDER BY md5(normalized_product_id::text || store_id::text)"
        " LIMIT %s",
        (at_least, _SERIES),
    ).fetchall()
    if not rows:
        return series(connection, at_least=at_least // 2)
    # Few prices have few long series: those are read again and again.
    return [(row[0], row[1]) for row in rows * (_SERIES // len(rows) + 1)][:_SERIES]


def reads(
    connection: Connection, *, table: str = "price_history", prepare: bool = True
) -> list[float]:
    """Times of SELECT 1, the latest price, a page, twenty latest; each of another series."""
    found = series(connection)
    store = found[0][1]
    work: tuple[tuple[str, Any], ...] = (
        ("SELECT 1", [()] * 300),
        (LATEST, found[: _SERIES // 2]),
        (HISTORY, found[_SERIES // 2 :]),
        (
            LATEST_OF_MANY,
            [([product for product, _ in found[i : i + BATCH]], store) for i in range(200)],
        ),
    )
    return [
        milliseconds(connection, text.replace("price_history", table), values, prepare=prepare)
        for text, values in work
    ]


def reads_on_server(connection: Connection, *, table: str = "price_history") -> list[float]:
    """Times of the latest price and of a page, planned once, without the way to the client."""
    found = series(connection)
    return [
        planned_once_milliseconds(connection, text.replace("price_history", table), found)
        for text in (LATEST, HISTORY)
    ]


def scans(connection: Connection) -> list[float]:
    """Times of a week over all series, and of a store's latest prices in two ways."""
    store = series(connection)[0][1]
    return [
        milliseconds(connection, WEEK_AT_STORES, [()] * 7),
        milliseconds(connection, STORE_DISTINCT, [(store,)] * 3),
        milliseconds(connection, STORE_LATERAL, [(store,)] * 5),
    ]


def maintenance(connection: Connection) -> list[float]:
    """Times of VACUUM, after the writes that were rolled back, and of ANALYZE."""
    return [
        seconds(lambda: connection.execute("VACUUM price_history")) * 1000,
        seconds(lambda: connection.execute("ANALYZE price_history")) * 1000,
    ]


def writes(connection: Connection, *, table: str = "price_history") -> list[float]:
    """Times of inserting a receipt's prices, and many by COPY; all rolled back."""
    with connection.cursor().copy("COPY ready TO STDOUT (FORMAT BINARY)") as out:
        ready = b"".join(bytes(part) for part in out)

    def load() -> None:
        into = f"COPY {table} ({PRICE_COLUMNS}) FROM STDIN (FORMAT BINARY)"
        with connection.cursor().copy(into) as copy:
            copy.write(ready)

    loads = []
    for _ in range(7):
        with rolled_back(connection):
            loads.append(seconds(load) * 1000)
    batch = f"INSERT INTO {table} ({PRICE_COLUMNS}) SELECT * FROM ready OFFSET {{}} LIMIT {BATCH}"
    return [
        write_cost(connection, [batch.format(BATCH * number) for number in range(100)]),
        statistics.median(loads),
    ]
