"""Rows to the bytes of their messages, by generated functions.

protobuf's parser makes a whole message of bytes in one call and checks them. Setting
the fields one by one costs a call each, three for a price; so the bytes are put
together here, from pieces that repeat: a tag and a price, a tag and a date.

They are put together as text, a character a byte, and encoded at last: an id and most texts
are text already, and Python joins pieces of text without a call.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import operator
import struct
import uuid
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from asyncpg.pgproto.pgproto import UUID
from google.protobuf.timestamp_pb2 import Timestamp

from cartsnitch_common.contract.memo import remembered
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.contract.source import build_function
from cartsnitch_common.convert.shapes import Shape, enum_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from google.protobuf.message import Message

    from cartsnitch_common.convert.pairs import Pair

    type RowWriter = Callable[[Mapping[str, Any]], str]
    type RecordEncoder = Callable[[Iterable[Any]], list[bytes]]

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_MILLION: Final = 1_000_000
_DOUBLE: Final = struct.Struct("<d")
WIRE: Final = "latin-1"
"""The encoding in which each byte is the character of its number."""

_READ_JSON: Final = json.JSONDecoder().raw_decode
"""Without the space around it that ``json.loads`` looks for: PostgreSQL's text has none."""

_UUID_LENGTH: Final = b"\x24"
"""What stands before the 36 characters of a UUID."""

_NATIVE: Final[dict[Shape, tuple[type, ...]]] = {
    Shape.UUID: (UUID, uuid.UUID),
    Shape.TEXT: (str,),
    Shape.MONEY: (decimal.Decimal,),
    Shape.DECIMAL: (decimal.Decimal,),
    Shape.DATE: (dt.date,),
    Shape.TIME: (dt.datetime,),
    Shape.BOOL: (bool,),
    Shape.DOUBLE: (float,),
    Shape.TEXTS: (list,),
}
"""What a row's attribute must be, exactly: a float may equal a Decimal that is remembered."""

_READY: Final[dict[Shape, tuple[type, ...]]] = {Shape.UUID: (str,), Shape.TEXT: (str,)}
"""What a message-ready scalar must be, where anything could be written as text."""


def build_row_writer(name: str, pairs: Sequence[Pair]) -> RowWriter:
    """A function from a row's attributes to the bytes of its message, as text.

    ``encode(WIRE)`` makes bytes of it. It loads nothing, because it sees the attributes that
    are there. It raises KeyError, TypeError, ValueError or AttributeError for a row that it
    does not like; why is the slow way's to find out.
    """
    lines, text, names = _writing(pairs, native=True)
    names["columns_of"] = operator.itemgetter(*[pair.column for pair in pairs])
    lines = [f"{_variables(pairs)} = columns_of(row)", *lines, f"return {text}"]
    return build_function(f"write_row_{name}", "row", lines, names)


def build_record_encoder(name: str, pairs: Sequence[Pair]) -> RecordEncoder:
    """A function from records of message-ready scalars to the bytes of their messages.

    The scalars are those of ``projection.py``, in the order of the pairs. It raises
    TypeError or ValueError for a value that no message can carry.
    """
    lines, text, names = _writing(pairs, native=False)
    lines = [
        "found = []",
        "append = found.append",
        f"for {_variables(pairs)}, in records:",
        *[f"    {line}" for line in (*lines, f"append({text}.encode({WIRE!r}))")],
        "return found",
    ]
    return build_function(f"encode_records_{name}", "records", lines, names)


def message_prefix(field: Any) -> Callable[[int], bytes]:
    """What stands before a message of some length in a field."""
    tag = _tag(field, _BYTES)
    return remembered(lambda length: tag + varint(length))


def message_prefix_text(field: Any) -> Callable[[int], str]:
    """``message_prefix`` as text."""
    return _remembered(message_prefix(field))


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it: seven bits a byte, the lowest first."""
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _tag(field: Any, kind: int) -> bytes:
    return varint(field.number << 3 | kind)


def _variables(pairs: Iterable[Pair]) -> str:
    return ", ".join(f"{pair.column}_" for pair in pairs)


def _writing(pairs: Sequence[Pair], *, native: bool) -> tuple[list[str], str, dict[str, Any]]:
    """The lines that look at the values, the expression of the text, and the names of both."""
    names: dict[str, Any] = {"join": "".join, "recode": _recode}
    lines: list[str] = []
    text = ""
    for pair in pairs:
        value = f"{pair.column}_"
        unset = f"{value} is not None and " if pair.nullable else ""
        classes = (_NATIVE if native else _READY).get(pair.shape)
        if classes is not None:
            wanted = " and ".join(f"{value}.__class__ is not {_named(c, names)}" for c in classes)
            lines.append(f"if {unset}{wanted}: raise TypeError('is of another class')")
        if pair.shape is Shape.TEXT:
            lines.append(f"if {unset}not {value}.isascii(): {value} = recode({value})")
        piece = _piece(pair, value, names, native=native)
        text += f"{{'' if {value} is None else f'{piece}'}}" if pair.nullable else piece
    return lines, f"f'{text}'", names


def _named(kind: type, names: dict[str, Any]) -> str:
    name = f"{kind.__module__}_{kind.__name__}".replace(".", "_")
    names[name] = kind
    return name


def _literal(encoded: bytes) -> str:
    """Bytes as a piece of an f-string."""
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def _piece(pair: Pair, value: str, names: dict[str, Any], *, native: bool) -> str:  # noqa: C901, PLR0911 - one case a shape
    """The piece of an f-string that is a set field, tag included.

    Args:
        pair: The column and the field.
        value: The variable of the value, which is not None.
        names: Takes the objects that the piece names.
        native: Whether the value is the row's own, else a message-ready scalar.
    """
    field, made = pair.descriptor, f"made_{pair.column}"
    tag = _tag(field, _BYTES)
    match pair.shape:
        case Shape.UUID:
            return f"{_literal(tag + _UUID_LENGTH)}{{{value}!s}}"
        case Shape.TEXT:
            # An empty text is written where it is told from an unset one, and only there.
            unset = b"" if not field.has_presence else tag + b"\0"
            names[made] = _remembered(lambda length: tag + varint(length) if length else unset)
            return f"{{{made}(len({value}))}}{{{value}}}"
        case Shape.ENUM:
            tag = _tag(field, _VARINT)
            numbers = enum_numbers(pair.type, field)
            names[made] = {
                member: (tag + varint(number)).decode(WIRE) for member, number in numbers.items()
            }
            return f"{{{made}[{value}]}}"
        case Shape.BOOL:
            flag = _tag(field, _VARINT).decode(WIRE)
            names[made] = {False: flag + "\0" if field.has_presence else "", True: flag + "\1"}
            return f"{{{made}[{value}]}}"
        case Shape.DOUBLE:
            names["double"] = lambda number: _DOUBLE.pack(number).decode(WIRE)
            return f"{_literal(_tag(field, _FIXED64))}{{double({value})}}"
        case Shape.MONEY | Shape.DECIMAL:
            # By its text, of which Decimal() makes the same again: a Decimal takes 500 ns to
            # find its hash, for each that the driver gives anew, and 60 ns to write its text.
            names[made] = _number_writer(pair.shape, pair.type.scale)
            text = f"f'{{{value}!s}}'" if native else value
            return f"{_literal(tag)}{{{made}({text})}}"
        case Shape.DATE:
            names[made] = _date_writer(native=native)
            return f"{_literal(tag)}{{{made}({value})}}"
        case Shape.TIME:
            names |= {made: _time_writer(tag), "EPOCH": _EPOCH}
            if native:
                since = f"(since := {value} - EPOCH)"  # a TypeError for a naive one
                return f"{{{made}({since}.days * 86400 + since.seconds, since.microseconds)}}"
            return f"{{{made}(*divmod({value}, {_MILLION}))}}"
        case Shape.TEXTS:
            names |= {made: _remembered(lambda length: tag + varint(length)), "read": _READ_JSON}
            texts = value if native else f"read({value})[0]"
            text = "each if each.isascii() else recode(each)"
            return f"{{join([{made}(len(text := {text})) + text for each in {texts}])}}"


def _remembered(make: Callable[[Any], bytes]) -> Callable[[Any], str]:
    return remembered(lambda key: make(key).decode(WIRE))


def _recode(text: str) -> str:
    """The text of the bytes of a text."""
    return text.encode().decode(WIRE)


@cache
def _number_writer(shape: Shape, scale: int) -> Callable[[str], str]:
    """What writes the text of a number, without the tag.

    All columns of a scale have one memory, a quarter of what one each would take: a receipt's
    unit prices and regular prices are the same prices, and what is small stays in the
    processor's cache.
    """
    del scale  # texts of another scale are other texts
    write = to_money if shape is Shape.MONEY else to_decimal
    return _remembered(lambda text: _sized(write(decimal.Decimal(text))))


@cache
def _date_writer(*, native: bool) -> Callable[[Any], str]:
    """What writes a date, or the days since 1970, without the tag."""
    if native:
        return _remembered(lambda date: _sized(to_date(date)))
    return _remembered(lambda days: _sized(to_date(dt.date.fromordinal(_EPOCH_DAY + days))))


def _sized(message: Message) -> bytes:
    payload = message.SerializeToString()
    return varint(len(payload)) + payload


def _time_writer(tag: bytes) -> Callable[[int, int], str]:
    prefixes = [tag + bytes([length]) for length in range(32)]

    def write(seconds: int, microseconds: int) -> str:
        message = Timestamp()
        message.seconds = seconds
        message.nanos = microseconds * 1000
        payload = message.SerializeToString()
        return (prefixes[len(payload)] + payload).decode(WIRE)

    return write
