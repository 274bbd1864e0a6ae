"""What a mapped column and its field hold together, by the types of both."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import types as sql

from cartsnitch.type.v1 import Date, Decimal, Money

if TYPE_CHECKING:
    from enum import StrEnum


class Shape(Enum):
    """The pairs of types that can be converted."""

    UUID = auto()
    TEXT = auto()
    ENUM = auto()
    BOOL = auto()
    DOUBLE = auto()
    MONEY = auto()
    DECIMAL = auto()
    DATE = auto()
    TIME = auto()
    TEXTS = auto()


def shape_of(column: sql.TypeEngine[Any], field: Any) -> Shape:  # noqa: C901, PLR0911 - one case a shape
    """The shape of a column's type and a field's descriptor.

    Raises:
        TypeError: The two types do not go together.
    """
    match column, _kind(field):
        case sql.Uuid(), "string":
            return Shape.UUID
        case sql.Enum(), "enum":
            return Shape.ENUM
        case sql.String(), "string":
            return Shape.TEXT
        case sql.Float(), "double":
            return Shape.DOUBLE
        case sql.Numeric(), Money.DESCRIPTOR.full_name:
            return Shape.MONEY
        case sql.Numeric(), Decimal.DESCRIPTOR.full_name:
            return Shape.DECIMAL
        case sql.Date(), Date.DESCRIPTOR.full_name:
            return Shape.DATE
        case sql.DateTime(), Timestamp.DESCRIPTOR.full_name:
            return Shape.TIME
        case sql.Boolean(), "bool":
            return Shape.BOOL
        case sql.JSON(), "repeated string":
            return Shape.TEXTS
        case _:
            raise TypeError(f"no conversion from {column!r} to {field.full_name}")


def enum_numbers(column: sql.Enum, field: Any) -> dict[StrEnum, int]:
    """The wire number of each member, by the rule that names the members."""
    kind: Any = column.enum_class
    values = field.enum_type.values
    prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        kind(value.name.removeprefix(prefix).lower()): value.number
        for value in values
        if value.number
    }


def _kind(field: Any) -> str:
    """A field's type in words: ``string``, ``repeated string`` or a message's full name."""
    if field.message_type is not None:
        kind: str = field.message_type.full_name
    else:
        kind = {
            field.TYPE_STRING: "string",
            field.TYPE_ENUM: "enum",
            field.TYPE_BOOL: "bool",
            field.TYPE_DOUBLE: "double",
        }.get(field.type, f"type {field.type}")
    return f"repeated {kind}" if field.is_repeated else kind
