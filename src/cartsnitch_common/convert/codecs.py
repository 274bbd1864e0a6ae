"""What converts one value between a column and a field, by the types of both."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import types as sql

from cartsnitch.type.v1 import Date, Decimal, Money
from cartsnitch_common.contract.scalars import (
    from_date,
    from_decimal,
    from_money,
    from_timestamp,
    to_date,
    to_decimal,
    to_money,
    to_timestamp,
)
from cartsnitch_common.values.ids import parse_uuid
from cartsnitch_common.values.numbers import fit

if TYPE_CHECKING:
    import decimal
    from collections.abc import Callable
    from enum import StrEnum

    from google.protobuf.message import Message

    type Writer = Callable[[Message, str, Any], None]
    type Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """A pair of conversions; both raise ValueError or TypeError for what they refuse.

    Attributes:
        write: Sets a message's field from a column's value.
        read: Makes a column's value of a field's.
        presence: Whether the field can be told unset from empty.
    """

    write: Writer
    read: Reader
    presence: bool


def codec_for(column: sql.TypeEngine[Any], field: Any) -> Codec:
    """The codec of a column's type and a field's descriptor.

    Raises:
        TypeError: The two types do not go together.
    """
    write, read = _conversions(column, field)
    return Codec(write=write, read=read, presence=field.has_presence)


def _conversions(column: sql.TypeEngine[Any], field: Any) -> tuple[Writer, Reader]:  # noqa: C901, PLR0911 - one case a type
    match column, _kind(field):
        case sql.Uuid(), "string":
            return _set_uuid, parse_uuid
        case sql.Enum(), "enum":
            numbers = _numbers(column, field.enum_type)
            members = {number: member for member, number in numbers.items()}
            return partial(_set_enum, numbers), partial(_read_enum, members)
        case sql.String(), "string":
            return _set_plain(str), partial(_read_text, column.length)
        case sql.Float(), "double":
            return _set_plain(float), float
        case sql.Numeric(), Money.DESCRIPTOR.full_name:
            return _set_message(to_money), _read_numeric(column, from_money)
        case sql.Numeric(), Decimal.DESCRIPTOR.full_name:
            return _set_message(to_decimal), _read_numeric(column, from_decimal)
        case sql.Date(), Date.DESCRIPTOR.full_name:
            return _set_message(to_date), from_date
        case sql.DateTime(), Timestamp.DESCRIPTOR.full_name:
            return _set_message(to_timestamp), from_timestamp
        case sql.Boolean(), "bool":
            return _set_plain(bool), bool
        case sql.JSON(), "repeated string":
            return _set_texts, list
        case _:
            raise TypeError(f"no conversion from {column!r} to {field.full_name}")


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


def _set_plain(kind: type) -> Writer:
    def write(message: Message, field: str, value: Any) -> None:
        if not isinstance(value, kind):
            raise TypeError(f"must be {kind.__name__}, not {type(value).__name__}")
        setattr(message, field, value)

    return write


def _set_message(convert: Callable[[Any], Any]) -> Writer:
    def write(message: Message, field: str, value: Any) -> None:
        getattr(message, field).CopyFrom(convert(value))

    return write


def _set_uuid(message: Message, field: str, value: Any) -> None:
    if not isinstance(value, uuid.UUID):
        raise TypeError(f"must be a UUID, not {type(value).__name__}")
    setattr(message, field, str(value))


def _set_texts(message: Message, field: str, value: Any) -> None:
    if not isinstance(value, list):
        raise TypeError(f"must be a list of text, not {type(value).__name__}")
    getattr(message, field).extend(value)


def _set_enum(numbers: dict[StrEnum, int], message: Message, field: str, value: Any) -> None:
    if value not in numbers:
        raise ValueError("is no value of the contract's enum")
    setattr(message, field, numbers[value])


def _read_enum(members: dict[int, StrEnum], number: int) -> StrEnum:
    if number not in members:
        raise ValueError(f"has the value {number}, which this version cannot store")
    return members[number]


def _read_text(limit: int | None, value: str) -> str:
    if "\x00" in value:
        raise ValueError("holds a NUL character")
    if limit is not None and len(value) > limit:
        raise ValueError(f"is longer than {limit} characters")
    return value


def _read_numeric(
    column: sql.Numeric[Any], convert: Callable[[Any], decimal.Decimal]
) -> Callable[[Any], decimal.Decimal]:
    precision, scale = column.precision, column.scale
    if precision is None or scale is None:
        raise TypeError("a NUMERIC column needs a precision and a scale")
    return lambda value: fit(convert(value), precision=precision, scale=scale)


def _numbers(column: sql.Enum, descriptor: Any) -> dict[StrEnum, int]:
    """The wire number of each member, by the rule that names the members."""
    kind: Any = column.enum_class
    prefix = descriptor.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {
        kind(value.name.removeprefix(prefix).lower()): value.number
        for value in descriptor.values
        if value.number
    }
