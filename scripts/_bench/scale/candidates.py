"""Candidates for the price history, indexes and partitions, against what it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from _bench.dataset import FIRST_DAY, LAST_DAY
from _bench.scale.growth import (
    STORE_DISTINCT,
    WEEK,
    WEEK_AT_STORES,
    reads,
    reads_on_server,
    series,
    writes,
)
from _bench.scale.timing import (
    Table,
    execute,
    milliseconds,
    rolled_back,
    seconds,
    server_milliseconds,
    sizes,
)

if TYPE_CHECKING:
    from psycopg import Connection

_SERIES_INDEX: Final = "ix_price_history_series"
_STORE_INDEX: Final = "ix_price_history_store_id_observed_date"
_COVERING: Final = f"""
    CREATE INDEX covering ON price_history (
           normalized_product_id, store_id, observed_date DESC, id DESC)
   INCLUDE (regular_price, sale_price, loyalty_price, coupon_price, source, purchase_item_id);
    DROP INDEX {_SERIES_INDEX}"""


def covering_index(connection: Connection) -> None:
    """Print what a covering, descending index of the series would change."""
    table = Table(
        "The index of a series, in ms",
        *("index", "MB", "latest, on the server", "page, on the server"),
        *("page", "DISTINCT ON", "insert", "COPY"),
    )
    store = series(connection)[0][1]

    def measure(name: str, index: str) -> None:
        _, _, page, _ = reads(connection)
        distinct = milliseconds(connection, STORE_DISTINCT, [(store,)] * 3)
        size = sizes(connection, "price_history")[index] / 1e6
        on_server = reads_on_server(connection)
        table.add(name, size, *on_server, page, distinct, *writes(connection))

    measure("as it is", _SERIES_INDEX)
    with rolled_back(connection):
        execute(connection, _COVERING)
        measure("covering, descending", "covering")
    table.show()


def date_index(connection: Connection) -> None:
    """Print what an index of the date alone would change for a week over all series."""
    table = Table(
        "The index of a week over all series, in ms on the server",
        *("index", "MB", "week", "insert", "COPY"),
    )
    size = sizes(connection, "price_history")[_STORE_INDEX] / 1e6
    table.add(
        "(store_id, observed_date), as it is, the stores named",
        *(size, server_milliseconds(connection, WEEK_AT_STORES), *writes(connection)),
    )
    name = "the same, stores not named"
    table.add(name, size, server_milliseconds(connection, WEEK), "", "")
    with rolled_back(connection):
        execute(connection, f"DROP INDEX {_STORE_INDEX}")
        table.add("none", 0, server_milliseconds(connection, WEEK), *writes(connection))
    for kind in ("brin (observed_date) WITH (pages_per_range = 32)", "btree (observed_date)"):
        with rolled_back(connection):
            execute(connection, f"CREATE INDEX candidate ON price_history USING {kind}")
            size = sizes(connection, "price_history")["candidate"] / 1e6
            with rolled_back(connection):
                execute(connection, f"DROP INDEX {_STORE_INDEX}")
                took = server_milliseconds(connection, WEEK)
            table.add(f"also {kind}", size, took, *writes(connection))
    table.show()


def partitions(connection: Connection) -> None:
    """Print what monthly partitions would change, for reads, writes and retention."""
    _partition(connection)
    # They keep no table of current prices, and need not here.
    execute(connection, "ALTER TABLE price_history DISABLE TRIGGER USER")
    table = Table(
        "Partitions by month, in ms",
        *("table", "latest, on the server", "page, on the server", "twenty latest"),
        *("latest, not prepared", "page, not prepared", "insert", "COPY"),
    )
    for name in ("price_history", "parted"):
        on_server = reads_on_server(connection, table=name)
        *_, twenty = reads(connection, table=name)
        _, *anew, _ = reads(connection, table=name, prepare=False)
        table.add(f"`{name}`", *on_server, twenty, *anew, *writes(connection, table=name))
    table.show()
    execute(connection, "ALTER TABLE price_history ENABLE TRIGGER USER")

    oldest = f"observed_date < date_trunc('month', '{FIRST_DAY}'::date + 40)"
    retention = Table("A month leaves, in s", "how", "at once", "VACUUM afterwards")
    first = connection.execute(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'parted'::regclass"
        " ORDER BY 1 LIMIT 1"
    ).fetchone() or ("",)
    retention.add("DROP TABLE", seconds(lambda: connection.execute(f"DROP TABLE {first[0]}")), "")
    deleted = seconds(lambda: connection.execute(f"DELETE FROM price_history WHERE {oldest}"))
    cleared = seconds(lambda: connection.execute("VACUUM price_history"))
    retention.add("DELETE", deleted, cleared)
    retention.show()
    execute(connection, "DROP TABLE parted")


def _partition(connection: Connection) -> None:
    """Copy the price history into ``parted``: a partition a month, the same indexes and keys."""
    execute(
        connection,
        "CREATE TABLE parted (LIKE price_history INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        " PARTITION BY RANGE (observed_date)",
    )
    months = connection.execute(
        "SELECT to_char(m, 'YYYYMM'), m::date, (m + interval '1 month')::date"
        "  FROM generate_series(date_trunc('month', %s::date), %s::date + 60, '1 month') AS m",
        (FIRST_DAY, LAST_DAY),
    ).fetchall()
    for name, first, end in months:
        execute(
            connection,
            f"CREATE TABLE parted_{name} PARTITION OF parted"
            f" FOR VALUES FROM ('{first}') TO ('{end}')",
        )
    execute(
        connection,
        "INSERT INTO parted SELECT * FROM price_history",
        "ALTER TABLE parted ADD PRIMARY KEY (id, observed_date)",
        "CREATE INDEX ON parted (normalized_product_id, store_id, observed_date, id)",
        "CREATE INDEX ON parted (store_id, observed_date)",
        "CREATE INDEX ON parted (purchase_item_id) WHERE purchase_item_id IS NOT NULL",
        "ALTER TABLE parted ADD FOREIGN KEY (normalized_product_id) REFERENCES normalized_products",
        "ALTER TABLE parted ADD FOREIGN KEY (store_id) REFERENCES stores",
        "VACUUM ANALYZE parted",
    )
