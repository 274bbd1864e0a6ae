"""What converts one value between a column and a field, by the types of both."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never

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
from cartsnitch_common.convert.shapes import Shape, enum_numbers, shape_of
from cartsnitch_common.values.ids import parse_uuid
from cartsnitch_common.values.numbers import fit

if TYPE_CHECKING:
    import decimal
    from collections.abc import Callable
    from enum import StrEnum

    from google.protobuf.message import Message
    from sqlalchemy import types as sql

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


def _conversions(column: Any, field: Any) -> tuple[Writer, Reader]:  # noqa: C901, PLR0911 - one case a shape
    match shape_of(column, field):
        case Shape.UUID:
            return _set_uuid, parse_uuid
        case Shape.ENUM:
            numbers = enum_numbers(column, field)
            members = {number: member for member, number in numbers.items()}
            return partial(_set_enum, numbers), partial(_read_enum, members)
        case Shape.TEXT:
            return _set_plain(str), partial(_read_text, column.length)
        case Shape.DOUBLE:
            return _set_plain(float), float
        case Shape.MONEY:
            return _set_message(to_money), _read_numeric(column, from_money)
        case Shape.DECIMAL:
            return _set_message(to_decimal), _read_numeric(column, from_decimal)
        case Shape.DATE:
            return _set_message(to_date), from_date
        case Shape.TIME:
            return _set_message(to_timestamp), from_timestamp
        case Shape.BOOL:
            return _set_plain(bool), bool
        case Shape.TEXTS:
            return _set_texts, list
        case other:
            assert_never(other)


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
