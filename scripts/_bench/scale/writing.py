"""What the table of current prices costs whoever writes prices, and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from _bench.dataset import PRICE_COLUMNS
from _bench.scale.growth import (
    BATCH,
    READY,
    STORE_DISTINCT,
    STORE_LATERAL,
    series,
    writes,
)
from _bench.scale.timing import Table, execute, milliseconds, rolled_back, sizes

if TYPE_CHECKING:
    from psycopg import Connection

_COLUMNS: Final = PRICE_COLUMNS.split(", ")
_ROW_TRIGGER: Final = f"""
    CREATE FUNCTION current_price_of_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO current_prices AS c ({PRICE_COLUMNS})
      VALUES ({", ".join(f"new.{name}" for name in _COLUMNS)})
      ON CONFLICT (store_id, normalized_product_id) DO UPDATE
      SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
      WHERE (excluded.observed_date, excluded.id) > (c.observed_date, c.id);
      RETURN NULL;
    END $$;
    CREATE TRIGGER current_price_of_row AFTER INSERT ON price_history
      FOR EACH ROW EXECUTE FUNCTION current_price_of_row()"""


def current_prices(connection: Connection) -> None:
    """Print the cost of the triggers of ``price_history``, and what reading the table takes."""
    table = Table(
        "Writing prices while current prices are kept, in ms",
        *("how", f"insert of {BATCH}", f"COPY of {READY:,}"),
    )
    table.add("by a trigger of the statement, as it is", *writes(connection))
    with rolled_back(connection):
        execute(connection, "ALTER TABLE price_history DISABLE TRIGGER USER")
        table.add("not at all", *writes(connection))
        execute(connection, _ROW_TRIGGER)
        table.add("by a trigger of each row", *writes(connection))
    table.show()

    store = series(connection)[0][1]
    total = sum(sizes(connection, "current_prices").values()) / 1e6
    reading = Table("A store's current prices, in ms with the rows fetched", "from", "time", "MB")
    for name, text, size in (
        ("`current_prices`", "SELECT * FROM current_prices WHERE store_id = %s", total),
        ("the history, LATERAL", STORE_LATERAL, 0),
        ("the history, DISTINCT ON", STORE_DISTINCT, 0),
    ):
        reading.add(name, milliseconds(connection, text, [(store,)] * 5), size)
    reading.show()
