"""Rows as a program in any language would insert them: plain SQL, the fewest columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    import psycopg

NOTHING = "00000000-0000-7000-8000-000000000000"
"""The id of no row."""

EVENT = {
    "event_id": NOTHING,
    "event_type": "cartsnitch.prices.updated",
    "key": "k",
    "envelope": b"",
}

REQUIRED: dict[str, dict[str, Any]] = {
    "stores": {"name": "Meijer", "slug": "meijer"},
    "store_locations": {"address": "1 A St", "city": "Ann Arbor", "state": "MI", "zip": "48103"},
    "users": {"email": "ada@parent.example"},
    "user_store_accounts": {},
    "purchases": {"receipt_id": "r-1", "purchase_date": "2026-03-10", "total": 1},
    "purchase_items": {
        "product_name_raw": "BANANAS",
        "quantity": 1,
        "unit_price": 1,
        "extended_price": 1,
    },
    "normalized_products": {"canonical_name": "Bananas"},
    "product_names": {"tokens": "bananas"},
    "price_history": {"observed_date": "2026-03-10", "regular_price": 1, "source": "catalog"},
    "current_prices": {
        "store_id": NOTHING,
        "normalized_product_id": NOTHING,
        "id": NOTHING,
        "observed_date": "2026-03-10",
        "regular_price": 1,
        "source": "catalog",
    },
    "coupons": {"title": "Save", "discount_type": "fixed"},
    "shrinkflation_events": {
        "detected_date": "2026-03-10",
        "old_size": "18",
        "new_size": "16",
        "old_unit": "oz",
        "new_unit": "oz",
        "confidence": 1,
    },
    "event_outbox": EVENT,
    "event_log": EVENT | {"id": 1, "created_at": "2026-03-10 12:00:00+00"},
    "event_inbox": {"consumer": "api", "event_id": NOTHING},
    "event_dead_letters": {
        "consumer": "api",
        "stream": "s",
        "entry_id": "1-0",
        "envelope": b"",
        "reason": "r",
    },
}
"""Every table, and a value for each column that has neither NULL nor a default."""

PARENTS: dict[str, dict[str, str]] = {
    "product_names": {"normalized_product_id": "normalized_products"},
    "store_locations": {"store_id": "stores"},
    "user_store_accounts": {"user_id": "users", "store_id": "stores"},
    "purchases": {"user_id": "users", "store_id": "stores"},
    "purchase_items": {"purchase_id": "purchases"},
    "price_history": {"normalized_product_id": "normalized_products", "store_id": "stores"},
    "coupons": {"store_id": "stores"},
    "shrinkflation_events": {"normalized_product_id": "normalized_products"},
}
"""The table that each required foreign key leads to."""


class Rows:
    """Inserts rows, and the rows that they need, on one connection.

    An id is that of the column ``id``, or of the first one where there is none.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self._shared: dict[str, Any] = {}

    def the(self, table: str) -> Any:
        """The id of the one row that others may need."""
        if table not in self._shared:
            self._shared[table] = self.add(table)
        return self._shared[table]

    def add(self, table: str, **values: Any) -> Any:
        """Insert a row with the fewest columns, and these; return its id."""
        parents = {
            column: self.the(parent)
            for column, parent in PARENTS.get(table, {}).items()
            if column not in values
        }
        if table == "product_names":  # a trigger has written it with its product
            self.connection.execute("DELETE FROM product_names")
        return self.insert(table, {**parents, **REQUIRED[table], **values})

    def insert(self, table: str, row: dict[str, Any]) -> Any:
        """Insert a row with these columns and no other; return its id."""
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING *").format(
            sql.Identifier(table),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join(sql.Placeholder() * len(row)),
        )
        values = [
            Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()
        ]
        found = self.connection.cursor(row_factory=dict_row).execute(statement, values).fetchone()
        assert found is not None
        return found.get("id", next(iter(found.values())))

    def count(self, table: str) -> int:
        """How many rows a table has."""
        query = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
        found = self.connection.execute(query).fetchone()
        assert found is not None
        return int(found[0])
