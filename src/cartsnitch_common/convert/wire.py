"""Rows to the bytes of their messages, by generated functions.

protobuf's parser makes a whole message of bytes in one call and checks them. Setting
the fields one by one costs a call each, three for a price; so the bytes are put
together here, from pieces that repeat: a tag and a price, a tag and a date.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import operator
import struct
import uuid
from typing import TYPE_CHECKING, Any, Final

from asyncpg.pgproto.pgproto import UUID
from google.protobuf.timestamp_pb2 import Timestamp

from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money
from cartsnitch_common.contract.source import build_function
from cartsnitch_common.convert.memo import Memo
from cartsnitch_common.convert.shapes import Shape, enum_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from google.protobuf.message import Message

    from cartsnitch_common.convert.pairs import Pair

    type RowEncoder = Callable[[Mapping[str, Any]], bytes | None]
    type RecordEncoder = Callable[[Iterable[Any]], list[bytes]]

_VARINT, _FIXED64, _BYTES = 0, 1, 2
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()
_MILLION: Final = 1_000_000
_DOUBLE: Final = struct.Struct("<d")
_TEXT, _ENCODED = "f'", "'.encode()"

_CLASSES: Final[dict[Shape, tuple[type, ...]]] = {
    Shape.UUID: (UUID, uuid.UUID),
    Shape.MONEY: (decimal.Decimal,),
    Shape.DECIMAL: (decimal.Decimal,),
    Shape.DATE: (dt.date,),
    Shape.TIME: (dt.datetime,),
    Shape.BOOL: (bool,),
    Shape.DOUBLE: (float,),
    Shape.TEXTS: (list,),
}
"""What a row's attribute must be, exactly: a float may equal a Decimal that is remembered."""


def build_row_encoder(name: str, pairs: Sequence[Pair]) -> RowEncoder:
    """A function from a row's attributes to the bytes of its message.

    It loads nothing, because it sees the attributes that are there. It returns None, or
    raises KeyError, TypeError, ValueError or AttributeError, for a row that it does not
    like; why is the slow way's to find out.
    """
    columns = [pair.column for pair in pairs]
    names: dict[str, Any] = {"join": b"".join, "columns_of": operator.itemgetter(*columns)}
    lines = [f"{', '.join(f'{column}_' for column in columns)} = columns_of(row)"]
    pieces: list[str] = []
    for pair in pairs:
        value = f"{pair.column}_"
        pieces += _pieces(pair, value, names, native=True)
        classes = _CLASSES.get(pair.shape)
        if classes is not None:
            wanted = " and ".join(f"{value}.__class__ is not {_named(c, names)}" for c in classes)
            unset = f"{value} is not None and " if pair.nullable else ""
            lines.append(f"if {unset}{wanted}: return None")
    lines.append(f"return join(({', '.join(_together(pieces))},))")
    return build_function(f"encode_row_{name}", "row", lines, names)


def build_record_encoder(name: str, pairs: Iterable[Pair]) -> RecordEncoder:
    """A function from records of message-ready scalars to the bytes of their messages.

    The scalars are those of ``projection.py``, in the order of the pairs. It raises
    ValueError for a value that no message can carry.
    """
    names: dict[str, Any] = {"join": b"".join}
    values: list[str] = []
    pieces: list[str] = []
    for pair in pairs:
        value = f"{pair.column}_"
        values.append(value)
        pieces += _pieces(pair, value, names, native=False)
    lines = [
        "found = []",
        "append = found.append",
        f"for {', '.join(values)}, in records:",
        f"    append(join(({', '.join(pieces)},)))",
        "return found",
    ]
    return build_function(f"encode_records_{name}", "records", lines, names)


def message_prefix(field: Any) -> Memo[int, bytes]:
    """What stands before a message of some length in a field."""
    tag = _tag(field, _BYTES)
    return Memo(lambda length: tag + varint(length))


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


def _named(kind: type, names: dict[str, Any]) -> str:
    name = f"{kind.__module__}_{kind.__name__}".replace(".", "_")
    names[name] = kind
    return name


def _pieces(pair: Pair, value: str, names: dict[str, Any], *, native: bool) -> list[str]:
    """The expressions of a field's bytes, none where it is unset.

    Two stay two: what joins all of them puts them together for less than a plus.
    """
    pieces = _set_pieces(pair, value, names, native=native)
    if not pair.nullable:
        return pieces
    return [f"b'' if {value} is None else {' + '.join(pieces)}"]


def _together(pieces: Iterable[str]) -> list[str]:
    """Make one text of the texts that follow each other, such as the keys that rows begin with."""
    found: list[str] = []
    for piece in pieces:
        if found and found[-1].startswith(_TEXT) and piece.startswith(_TEXT):
            found[-1] = found[-1].removesuffix(_ENCODED) + piece.removeprefix(_TEXT)
        else:
            found.append(piece)
    return found


def _set_pieces(pair: Pair, value: str, names: dict[str, Any], *, native: bool) -> list[str]:  # noqa: C901, PLR0911 - one case a shape
    """The expressions of a set field's bytes, tag included.

    Args:
        pair: The column and the field.
        value: The variable of the value, which is not None.
        names: Takes the objects that the expression names.
        native: Whether the value is the row's own, else a message-ready scalar.
    """
    field, made = pair.descriptor, f"made_{pair.column}"
    tag = _tag(field, _BYTES)
    match pair.shape:
        case Shape.UUID:
            prefix = tag + bytes([36])
            if native and prefix.isascii():
                # One text for all: neither is str looked up nor is a piece joined more.
                return [f"f{prefix.decode() + '{' + value + '!s}'!r}.encode()"]
            text = f"str({value})" if native else value
            return [repr(prefix), f"{text}.encode()"]
        case Shape.TEXT:
            # An empty text is written where it is told from an unset one, and only there.
            unset = b"" if not field.has_presence else tag + b"\0"
            names[made] = Memo(lambda length: tag + varint(length) if length else unset)
            return [f"{made}[len(text{field.number} := {value}.encode())]", f"text{field.number}"]
        case Shape.ENUM:
            tag = _tag(field, _VARINT)
            numbers = enum_numbers(pair.type, field)
            names[made] = {member: tag + varint(number) for member, number in numbers.items()}
        case Shape.BOOL:
            flag = _tag(field, _VARINT)
            names[made] = {False: flag + b"\0" if field.has_presence else b"", True: flag + b"\1"}
        case Shape.DOUBLE:
            names["double"] = _DOUBLE.pack
            return [repr(_tag(field, _FIXED64)), f"double({value})"]
        case Shape.MONEY | Shape.DECIMAL:
            write = to_money if pair.shape is Shape.MONEY else to_decimal
            # By its text, of which Decimal() makes the same again: a Decimal takes 500 ns to
            # find its hash, for each that the driver gives anew, and 60 ns to write its text.
            names[made] = Memo(lambda text: _message(tag, write(decimal.Decimal(text))))
            return [f"{made}[f'{{{value}!s}}']" if native else f"{made}[{value}]"]
        case Shape.DATE:
            day = _same if native else _date_of_days
            names[made] = Memo(lambda date: _message(tag, to_date(day(date))))
        case Shape.TIME:
            names |= {made: _time_writer(tag), "EPOCH": _EPOCH}
            if native:
                since = f"(since := {value} - EPOCH)"  # a TypeError for a naive one
                return [f"{made}({since}.days * 86400 + since.seconds, since.microseconds)"]
            return [f"{made}(*divmod({value}, {_MILLION}))"]
        case Shape.TEXTS:
            names |= {made: Memo(lambda length: tag + varint(length)), "loads": json.loads}
            texts = value if native else f"loads({value})"
            return [f"join([{made}[len(text := each.encode())] + text for each in {texts}])"]
    return [f"{made}[{value}]"]


def _same(value: Any) -> Any:
    return value


def _message(tag: bytes, message: Message) -> bytes:
    payload = message.SerializeToString()
    return tag + varint(len(payload)) + payload


def _date_of_days(days: int) -> dt.date:
    return dt.date.fromordinal(_EPOCH_DAY + days)


def _time_writer(tag: bytes) -> Callable[[int, int], bytes]:
    prefixes = [tag + bytes([length]) for length in range(32)]

    def write(seconds: int, microseconds: int) -> bytes:
        message = Timestamp()
        message.seconds = seconds
        message.nanos = microseconds * 1000
        payload = message.SerializeToString()
        return prefixes[len(payload)] + payload

    return write
