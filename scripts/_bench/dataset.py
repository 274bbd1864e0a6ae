"""Data sets for the measurements of the database: made by the server, in one statement a table.

Everything follows from a row's number through hash functions: the same sizes give the
same rows, on every machine and in any order of work. Stores are the seed's. Products have
names of words with a long tail and valid GTINs. Prices come in the order in which receipts
do, over about two years; some are late, and few products have many of them.
"""

from __future__ import annotations

import datetime as dt
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from _bench.words import BRANDS, KINDS, QUALIFIERS, SIZES
from cartsnitch_common.db.seed import STORES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from psycopg import Connection

LAST_DAY: Final = dt.date(2025, 12, 31)
"""The day of the newest prices."""

DAYS: Final = 730
"""The prices' span."""

FIRST_DAY: Final = LAST_DAY - dt.timedelta(days=DAYS - 1)
"""The day of the oldest prices."""

_DAY: Final = 86_400_000  # milliseconds
_START: Final = (FIRST_DAY - dt.date(1970, 1, 1)).days * _DAY
_CODE_FACTOR: Final = 73_687_870_013  # shares no factor with 10^11, so that no two codes are alike


PRODUCT_COLUMNS: Final = (
    "id, canonical_name, category, brand, size, size_unit, upc_variants, created_at, updated_at"
)
PRICE_COLUMNS: Final = (
    "id, normalized_product_id, store_id, observed_date, regular_price, sale_price,"
    " loyalty_price, coupon_price, source, purchase_item_id"
)


def fill_products(connection: Connection, count: int) -> None:
    """Write the stores and ``count`` products, into a database at head that has none.

    Args:
        connection: To the database, in autocommit mode.
        count: How many products.
    """
    with connection.transaction():
        for store in STORES:
            connection.execute(
                "INSERT INTO stores (id, slug, name) VALUES (%s, %s, %s)",
                (store.id, store.slug.value, store.name),
            )
        # Their triggers fill product_names in the same statement.
        with _indexes_afterwards(connection, "normalized_products", "product_names"):
            connection.execute(
                f"INSERT INTO normalized_products ({PRODUCT_COLUMNS}) {products(count)}"
            )
    vacuum(connection, "normalized_products", "product_names")


def fill_prices(connection: Connection, rows: int, *, products: int) -> None:
    """Write ``rows`` prices of the first ``products`` products, and the current prices.

    Foreign keys and triggers rest meanwhile. Products and stores are there; the receipts'
    lines are not, although the rows name them: their index must have its size. Only a
    superuser may do that.
    """
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        with _indexes_afterwards(connection, "price_history"):
            connection.execute(
                f"INSERT INTO price_history ({PRICE_COLUMNS}) {prices(rows, products=products)}"
            )
        connection.execute(
            f"INSERT INTO current_prices ({PRICE_COLUMNS})"
            f" SELECT {PRICE_COLUMNS} FROM (SELECT latest.* FROM stores, normalized_products AS p"
            " CROSS JOIN LATERAL (SELECT * FROM price_history AS h"
            " WHERE h.normalized_product_id = p.id AND h.store_id = stores.id"
            " ORDER BY h.observed_date DESC, h.id DESC LIMIT 1) AS latest) AS found"
        )
    vacuum(connection, "price_history", "current_prices")


def ready_prices(rows: int, *, existing: int, products: int) -> str:
    """SQL of a temporary table ``ready`` with prices that come after those that are there.

    They are of no receipt: the lines that their foreign key would ask for are not stored.
    """
    values = prices(rows, products=products, first=existing + 1, span=existing)
    return (
        f"CREATE TEMP TABLE ready ({PRICE_COLUMNS}) AS {values};"
        " UPDATE ready SET source = 'catalog', purchase_item_id = NULL; ANALYZE ready"
    )


def ready_products(count: int, *, existing: int) -> str:
    """SQL of a temporary table ``ready`` with products that are not there yet."""
    values = products(count, first=existing)
    return f"CREATE TEMP TABLE ready ({PRODUCT_COLUMNS}) AS {values}; ANALYZE ready"


def vacuum(connection: Connection, *tables: str) -> None:
    """Bring statistics, visibility and files up to date, as a server does after a while."""
    for table in tables:
        connection.execute(f"VACUUM (ANALYZE) {table}")
    connection.execute("CHECKPOINT")  # now, and not in the midst of what is measured


@contextmanager
def _indexes_afterwards(connection: Connection, *tables: str) -> Iterator[None]:
    """Build the indexes of tables at the end; those of keys stay."""
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY (%s)"
        " AND indexname NOT LIKE 'pk@_%%' ESCAPE '@'",
        (list(tables),),
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        connection.execute(definition)


def product_id(number: str) -> str:
    """SQL of the id of the product with a number, from 0."""
    return _uuid(f"{_START} - 100000000 + {number}", number, "product")


def store_id(number: str) -> str:
    """SQL of the id of the store with a number, 0 to 2."""
    return f"({_array([str(store.id) for store in STORES])})[1 + {number}]::uuid"


def products(count: int, *, first: int = 0) -> str:
    """SQL that selects products, with the columns ``PRODUCT_COLUMNS``."""
    # A UPC-A of 11 digits and its check digit, by the rule of GS1.
    weighted = " + ".join(f"substr(d, {k}, 1)::int * {3 if k % 2 else 1}" for k in range(1, 12))
    codes = ", ".join(
        f"(SELECT d || (10 - ({weighted}) % 10) % 10 FROM (SELECT"
        f" lpad(((n::bigint * 3 + {k + 1}) * {_CODE_FACTOR} % 100000000000)::text, 11, '0')"
        " AS d) AS c)"
        for k in range(3)
    )
    second = f"CASE WHEN {_random('n', 17)} < 0.6 THEN {_pick(QUALIFIERS, 'n', 18, power=2)} END"
    return f"""
        SELECT {product_id("n")},
               concat_ws(' ', brand, {_pick(QUALIFIERS, "n", 16, power=2)}, {second},
                         kind, size, unit),
               kind, brand, size, unit,
               (SELECT jsonb_agg(code ORDER BY code COLLATE "C")
                  FROM unnest(codes[:1 + floor(3 * {_random("n", 19)} ^ 2)::int]) AS code),
               '{FIRST_DAY}'::timestamptz, '{FIRST_DAY}'::timestamptz
          FROM (SELECT n, {_pick(BRANDS, "n", 11, power=3)} AS brand,
                       {_pick(KINDS, "n", 12, power=2)} AS kind,
                       {_pick([size for size, _ in SIZES], "n", 13)} AS size,
                       {_pick([unit for _, unit in SIZES], "n", 13)} AS unit,
                       ARRAY[{codes}] AS codes
                  FROM generate_series({first}, {first + count - 1}) AS n
                OFFSET 0) AS product"""


def prices(rows: int, *, products: int, first: int = 1, span: int | None = None) -> str:
    """SQL that selects prices in the order of their recording, with ``PRICE_COLUMNS``.

    Args:
        rows: How many.
        products: Of how many products; the k-th has a share that falls with k^(-2/3).
        first: The number of the first one.
        span: How many prices fill all the days, ``rows`` by default; those with a higher
            number are of later days.
    """
    span = span or rows
    # Nearly all within three days of the purchase, some months later.
    late = (
        f"CASE WHEN {_random('i', 3)} < 0.97 THEN floor(3 * {_random('i', 4)} ^ 3)"
        f" ELSE floor(120 * {_random('i', 4)}) END::int"
    )
    return f"""
        SELECT {_uuid("ms", "i", "price")}, {product_id("n")}, {store_id("store")},
               '{FIRST_DAY}'::date + day, regular,
               CASE WHEN offer < 0.2 THEN round(regular * 0.8, 2) END,
               CASE WHEN offer BETWEEN 0.15 AND 0.3 THEN round(regular * 0.9, 2) END,
               CASE WHEN offer > 0.95 THEN round(regular * 0.75, 2) END,
               CASE WHEN origin < 0.7 THEN 'receipt' WHEN origin < 0.9 THEN 'weekly_ad'
                    ELSE 'catalog' END,
               CASE WHEN origin < 0.7 THEN {_uuid("ms", "i", "item")} END
          FROM (SELECT *, {_random("i", 5)} AS offer, {_random("i", 6)} AS origin,
                       round(((0.5 + 20 * {_random("n", 7)} ^ 2) * (1 + 0.02 * store)
                              * (1 + 0.03 * ((day + n % 90) / 90)))::numeric, 2) AS regular
                  FROM (SELECT i, floor({products} * {_random("i", 1)} ^ 3)::int AS n,
                               floor(3 * {_random("i", 2)})::int AS store,
                               greatest(((i - 1) * {DAYS} / {span})::int - {late}, 0) AS day,
                               {_START} + i * {DAYS * _DAY} / {span} AS ms
                          FROM generate_series({first}::bigint, {first + rows - 1}) AS i
                        OFFSET 0) AS seen
                OFFSET 0) AS priced"""


def _random(number: str, salt: int) -> str:
    """SQL of a number from 0 up to 1 that follows from another one."""
    return f"((hashint8extended({number}, {salt}) & 9007199254740991)::float8 / 9007199254740992)"


def _pick(words: Sequence[str], number: str, salt: int, *, power: int = 1) -> str:
    """SQL of a word; with a higher power those in front come more often."""
    index = f"1 + floor({len(words)} * {_random(number, salt)} ^ {power})::int"
    return f"({_array(words)})[{index}]"


def _array(words: Sequence[str]) -> str:
    return "'{" + ",".join(f'"{word}"' for word in words) + "}'::text[]"


def _uuid(milliseconds: str, number: str, kind: str) -> str:
    """SQL of a UUIDv7 of an instant, with a hash where a real one has chance."""
    head = f"lpad(to_hex({milliseconds}), 12, '0')"
    tail = f"md5('{kind}' || {number})"
    return f"({head} || '7' || substr({tail}, 1, 3) || '8' || substr({tail}, 4, 15))::uuid"
