"""Values as fields of PostgreSQL's binary COPY: a length and the type's own bytes.

Source: PostgreSQL's documentation of COPY, "Binary Format", and the ``*_recv`` functions
of the types. NUMERIC is the one with a form of its own: digits to the base of 10,000.
"""

from __future__ import annotations

import datetime as dt
import json
import struct
from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.convert.shapes import Shape

if TYPE_CHECKING:
    import decimal
    import uuid
    from collections.abc import Callable

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
"""What a stream begins with: no flags, no header extension."""

TRAILER: Final = b"\xff\xff"
"""What a stream ends with."""

NULL: Final = b"\xff\xff\xff\xff"
"""The field of a NULL."""

UUID_LENGTH: Final = struct.pack(">i", 16)
"""What stands before the sixteen bytes of a UUID."""

_LENGTH: Final = struct.Struct(">i")
_DATE: Final = struct.Struct(">ii")
_TIME: Final = struct.Struct(">iq")
_DOUBLE: Final = struct.Struct(">id")
_FIRST_DAY: Final = dt.date(2000, 1, 1)
_FIRST_MOMENT: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)
_NEGATIVE: Final = 0x4000
_DIGITS: Final = 4  # of ten, in one digit to the base of 10,000


def row_header(columns: int) -> bytes:
    """What stands before the fields of a row."""
    return struct.pack(">h", columns)


def length(size: int) -> bytes:
    """What stands before a field of some bytes."""
    return _LENGTH.pack(size)


def uuid_field(value: uuid.UUID) -> bytes:
    """A uuid."""
    return UUID_LENGTH + value.bytes


def text_field(value: str) -> bytes:
    """A text, a varchar, or an enum that is kept as one."""
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded


def bool_field(value: bool) -> bytes:  # noqa: FBT001 - it is the value
    """A boolean."""
    return _LENGTH.pack(1) + bytes([value])


def double_field(value: float) -> bytes:
    """A double precision."""
    return _DOUBLE.pack(8, value)


def date_field(value: dt.date) -> bytes:
    """A date: days since 2000."""
    return _DATE.pack(4, (value - _FIRST_DAY).days)


def time_field(value: dt.datetime) -> bytes:
    """A timestamp with time zone: microseconds since 2000."""
    return _TIME.pack(8, (value - _FIRST_MOMENT) // _MICROSECOND)


def json_field(value: Any) -> bytes:
    """A jsonb: version 1, and the text."""
    encoded = json.dumps(value, ensure_ascii=False).encode()
    return _LENGTH.pack(len(encoded) + 1) + b"\x01" + encoded


def numeric_field(value: decimal.Decimal) -> bytes:
    """A numeric, with the decimal places that the value has."""
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise ValueError("must be a finite number")  # noqa: TRY004 - its value, not its type
    scale = max(-exponent, 0)
    text = "".join(map(str, digits)) + "0" * max(exponent, 0)
    text += "0" * (-scale % _DIGITS)  # the point stands between two of the large digits
    text = "0" * (-len(text) % _DIGITS) + text
    large = [int(text[place : place + _DIGITS]) for place in range(0, len(text), _DIGITS)]
    weight = len(large) - 1 - (scale + _DIGITS - 1) // _DIGITS
    while large and not large[0]:
        large.pop(0)
        weight -= 1
    while large and not large[-1]:
        large.pop()
    if not large:
        weight, sign = 0, 0
    body = struct.pack(
        f">hhHh{len(large)}h", len(large), weight, _NEGATIVE if sign else 0, scale, *large
    )
    return _LENGTH.pack(len(body)) + body


FIELDS: Final[dict[Shape, Callable[[Any], bytes]]] = {
    Shape.UUID: uuid_field,
    Shape.TEXT: text_field,
    Shape.ENUM: text_field,
    Shape.BOOL: bool_field,
    Shape.DOUBLE: double_field,
    Shape.MONEY: numeric_field,
    Shape.DECIMAL: numeric_field,
    Shape.DATE: date_field,
    Shape.TIME: time_field,
    Shape.TEXTS: json_field,
}
"""The field of a value that is not None, by the shape of its column."""
