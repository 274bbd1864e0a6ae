"""What the tables and indexes that find a product cost, and what they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from _bench.dataset import PRODUCT_COLUMNS, ready_products
from _bench.scale.timing import (
    Table,
    execute,
    milliseconds,
    rolled_back,
    sizes,
    write_cost,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

_GIN: Final = "ix_normalized_products_upc_variants"
_NEW: Final = 2000

_SIDE_TABLE: Final = """
    CREATE TABLE product_codes (code varchar(14),
                                product_id uuid REFERENCES normalized_products ON DELETE CASCADE,
                                PRIMARY KEY (code, product_id));
    INSERT INTO product_codes
    SELECT DISTINCT code, id
      FROM normalized_products, jsonb_array_elements_text(upc_variants) AS code;
    CREATE INDEX product_codes_product ON product_codes (product_id);
    ANALYZE product_codes;
    CREATE FUNCTION product_codes_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO product_codes
      SELECT DISTINCT code, id FROM new_rows, jsonb_array_elements_text(upc_variants) AS code;
      RETURN NULL;
    END $$;
    CREATE TRIGGER product_codes_insert AFTER INSERT ON normalized_products
      REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT
      EXECUTE FUNCTION product_codes_insert()"""


def finding_products(databases: Mapping[int, Connection]) -> None:
    """Print what a code costs by GIN and by a side table, and what writes cost with each."""
    table = Table(
        "Product codes, in ms",
        *("products", "`SELECT 1`", "by key", "GIN", "GIN, LIMIT 1", "GIN, 20 codes"),
        *("side table", "side table, 20 codes", "GIN in MB", "side table in MB"),
    )
    for count, connection in databases.items():
        table.add(f"{count:,}", *_codes(connection))
    table.show()

    costs = Table(
        "Writing products, in ms",
        *("products", "bare, 1", "bare, 100", "+ GIN, 1", "+ GIN, 100"),
        *("+ side table, 1", "+ side table, 100", "+ `product_names`, 1", "+ `product_names`, 100"),
    )
    for count, connection in databases.items():
        costs.add(f"{count:,}", *_writing(connection, count))
    costs.show()


def _codes(connection: Connection) -> list[float]:
    rows = connection.execute(
        "SELECT upc_variants ->> 0, id FROM normalized_products"
        " ORDER BY hashtext(id::text) LIMIT 600"
    ).fetchall()
    codes = [str(row[0]) for row in rows]
    twenties = [codes[i : i + 20] for i in range(0, 600, 20)]
    whole = "SELECT p.* FROM normalized_products AS p"
    gin = f"{whole} WHERE upc_variants @> ANY (%s::jsonb[])"
    side = f"{whole} JOIN product_codes AS c ON c.product_id = p.id WHERE c.code = ANY (%s)"
    single = [([f'["{code}"]'],) for code in codes]
    found = [
        milliseconds(connection, "SELECT 1", [()] * 600),
        milliseconds(connection, f"{whole} WHERE id = %s", [(row[1],) for row in rows]),
        milliseconds(connection, gin, single),
        milliseconds(connection, f"{gin} LIMIT 1", single[:50]),
        milliseconds(connection, gin, [([f'["{code}"]' for code in some],) for some in twenties]),
    ]
    with rolled_back(connection):
        execute(connection, _SIDE_TABLE)
        found += [
            milliseconds(connection, side, [([code],) for code in codes]),
            milliseconds(connection, side, [(some,) for some in twenties]),
            sizes(connection, "normalized_products")[_GIN] / 1e6,
            sum(sizes(connection, "product_codes").values()) / 1e6,
        ]
    return found


def _writing(connection: Connection, count: int) -> list[float]:
    connection.execute(ready_products(_NEW, existing=count))
    found = []
    triggers = "ALTER TABLE normalized_products {} TRIGGER USER"
    for helpers in (
        [f"DROP INDEX {_GIN}"],
        [],
        [f"DROP INDEX {_GIN}", _SIDE_TABLE],
        [f"DROP INDEX {_GIN}", triggers.format("ENABLE")],
    ):
        with rolled_back(connection):
            execute(connection, triggers.format("DISABLE"), *helpers)
            for batch, rounds in ((1, 200), (100, 15)):
                insert = f"INSERT INTO normalized_products ({PRODUCT_COLUMNS}) SELECT * FROM ready"
                found.append(
                    write_cost(
                        connection,
                        [f"{insert} OFFSET {batch * i} LIMIT {batch}" for i in range(rounds)],
                    )
                )
    return found
