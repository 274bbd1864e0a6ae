"""The two sides of every mapped column: a message and its rules, a table and its limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy import inspect
from sqlalchemy import types as sql

from cartsnitch_common.convert import MAPPINGS, to_message
from tests.field_rules import broken_by
from tests.rows import REQUIRED, Rows

if TYPE_CHECKING:
    from google.protobuf.message import Message

COMPANIONS: dict[str, dict[str, Any]] = {
    "lat": {"lng": 0.0},
    "lng": {"lat": 0.0},
    "size": {"size_unit": "oz"},
    "size_unit": {"size": "18"},
    "purchase_item_id": {"source": "receipt"},
}
"""The columns that have to be set with a column, and to what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """One mapped column.

    Attributes:
        mapping: The mapping that it belongs to.
        pair: The column's name and the field's, with their codec.
        column: SQLAlchemy's column.
        field: The field's descriptor.
        companions: What has to be set with it.
    """

    mapping: Any
    pair: Any
    column: Any
    field: Any
    companions: dict[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> str:
        """The table's name."""
        return str(self.mapping.row.__tablename__)

    @property
    def is_key(self) -> bool:
        """Whether the column leads to another table, whose rows decide what it may hold."""
        return bool(self.column.foreign_keys)

    @property
    def enum(self) -> Any:
        """The constants' class of an enum column."""
        return self.column.type.enum_class


MAPPED: dict[str, Mapped] = {
    f"{mapping.message.DESCRIPTOR.name}.{pair.field}": Mapped(
        mapping=mapping,
        pair=pair,
        column=inspect(mapping.row).columns[pair.column],
        field=mapping.message.DESCRIPTOR.fields_by_name[pair.field],
        companions=COMPANIONS.get(pair.column, {}),
    )
    for mapping in MAPPINGS
    for pair in mapping.pairs
}
"""Every mapped column by its message and field: ``"Store.name"``."""


def kind_of(one: Mapped) -> str:
    """What a column and its field hold, in a word."""
    described = one.field.message_type
    match one.column.type:
        case sql.Uuid():
            return "uuid"
        case sql.Enum():
            return "enum"
        case sql.String():
            return "text"
        case sql.Float():
            return "double"
        case sql.Numeric():
            return str(described.name).lower()
        case sql.Date():
            return "date"
        case sql.DateTime():
            return "time"
        case sql.Boolean():
            return "bool"
        case sql.JSON():
            return "texts"
        case other:
            raise TypeError(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What PostgreSQL's catalog says of a column.

    Attributes:
        not_null: Whether it is NOT NULL.
        length: The most characters of a varchar.
        scale: The digits after the point of a numeric.
    """

    not_null: bool
    length: int | None
    scale: int


class Sides:
    """Asks the rules and a migrated database for the same value.

    One transaction that is never committed holds a row of every table; each INSERT
    is undone by a savepoint.
    """

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.rows = Rows(connection)
        self._keys = {table: self.rows.the(table) for table in REQUIRED}
        self._columns: dict[tuple[str, str], Column] = {
            (table, name): Column(not_null=not_null, length=length, scale=scale or 0)
            for table, name, not_null, length, scale in connection.execute(
                """
                SELECT c.relname, a.attname, a.attnotnull,
                       CASE WHEN t.typname = 'varchar' THEN a.atttypmod - 4 END,
                       CASE WHEN t.typname = 'numeric' THEN (a.atttypmod - 4) & 2047 END
                FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
                JOIN pg_type t ON t.oid = a.atttypid
                WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
                """
            )
        }
        self._bases = {mapping.row: self._base(mapping) for mapping in MAPPINGS}

    def _base(self, mapping: Any) -> Message:
        """A message of the row that every table has, which is as small as a row may be."""
        table = mapping.row.__table__
        names = [column.name for column in table.columns]
        query = f"SELECT {', '.join(names)} FROM {table.name} WHERE id = %s"
        found = self.connection.execute(query, [self._keys[table.name]]).fetchone()
        assert found is not None
        values = {
            column.name: column.type.enum_class(value)
            if isinstance(column.type, sql.Enum)
            else value
            for column, value in zip(table.columns, found, strict=True)
        }
        message: Message = to_message(mapping.row(**values))
        assert broken_by(message) == []
        return message

    def column(self, name: str) -> Column:
        """What the catalog says of a mapped column."""
        return self._columns[MAPPED[name].table, MAPPED[name].pair.column]

    def message(self, name: str, value: Any = None) -> Any:
        """A sound message that this field and its companions can be set in."""
        one = MAPPED[name]
        message = type(self._bases[one.mapping.row])()
        message.CopyFrom(self._bases[one.mapping.row])
        self._write(one.mapping, message, one.companions)
        if value is not None:
            self._write(one.mapping, message, {one.pair.column: value})
        return message

    def row_message(self, mapping: Any, values: dict[str, Any]) -> Message:
        """A sound message with these columns' values instead of its own; None unsets."""
        message = type(self._bases[mapping.row])()
        message.CopyFrom(self._bases[mapping.row])
        self._write(mapping, message, values)
        return message

    def _write(self, mapping: Any, message: Message, values: dict[str, Any]) -> None:
        for pair in mapping.pairs:
            if pair.column in values:
                message.ClearField(pair.field)
                value = values[pair.column]
                kind = mapping.row.__table__.c[pair.column].type
                if isinstance(kind, sql.Enum) and value is not None:
                    value = kind.enum_class(value)
                if value is not None:
                    pair.codec.write(message, pair.field, value)

    def rules_take(self, name: str, message: Message) -> bool:
        """Whether a message keeps every rule; a broken one must be of this field or around it."""
        found = broken_by(message)
        field_name = MAPPED[name].field.name
        assert {re.split(r"[.\[]", path)[0] for path, _ in found} <= {field_name, ""}, found
        return not found

    def rules_take_value(self, name: str, value: Any) -> bool:
        """Whether the rules accept a value of a column."""
        try:
            message = self.message(name, value)
        except ValueError:
            return False  # not even the field's type can carry it
        return self.rules_take(name, message)

    def database_takes(self, name: str, value: Any) -> bool:
        """Whether the table stores a row with a value, whoever inserts it."""
        one = MAPPED[name]
        return self.stores(one.table, one.companions | {one.pair.column: value})

    def stores(self, table: str, values: dict[str, Any]) -> bool:
        """Whether the table stores a row with these values."""
        try:
            with self.connection.transaction(force_rollback=True):
                self.rows.add(table, **values)
        except psycopg.errors.UniqueViolation:
            return True  # the row is there already: every other limit has let it pass
        except (
            psycopg.errors.CheckViolation,
            psycopg.errors.NotNullViolation,
            psycopg.DataError,
        ):
            return False
        return True

    def both_take(self, name: str, value: Any) -> bool:
        """Whether a value is accepted, which rules and table have to agree on."""
        rules, stored = self.rules_take_value(name, value), self.database_takes(name, value)
        assert rules == stored, f"{name} = {value!r}: by the rules {rules}, stored {stored}"
        return stored

    def checks(self, name: str) -> list[str]:
        """The definitions of the CHECKs over a column alone."""
        one = MAPPED[name]
        found = self.connection.execute(
            """
            SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
            JOIN pg_attribute a ON a.attrelid = k.conrelid AND k.conkey = ARRAY[a.attnum]
            WHERE k.contype = 'c' AND k.conrelid = %s::regclass AND a.attname = %s
            """,
            [one.table, one.pair.column],
        )
        return [definition for (definition,) in found]
