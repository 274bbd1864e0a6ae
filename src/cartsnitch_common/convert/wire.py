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
from typing import TYPE_CHECKING, Any, Final

from asyncpg.pgproto.pgproto import UUID

from cartsnitch_common.contract.source import build_function
from cartsnitch_common.convert import pieces
from cartsnitch_common.convert.pieces import BYTES, FIXED64, SHORT, VARINT, WIRE, tag_of, varint
from cartsnitch_common.convert.shapes import Shape, enum_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cartsnitch_common.convert.pairs import Pair

    type RowWriter = Callable[[Mapping[str, Any]], str]
    type RecordEncoder = Callable[[Iterable[Any]], list[bytes]]

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLION: Final = 1_000_000
_DOUBLE: Final = struct.Struct("<d")

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
    writing = _Writing(pairs, native=True)
    writing.names["columns_of"] = operator.itemgetter(*[pair.column for pair in pairs])
    lines = [f"{_variables(pairs)} = columns_of(row)", *writing.lines("return {}")]
    return build_function(f"write_row_{name}", "row", lines, writing.names)


def build_record_encoder(name: str, pairs: Sequence[Pair]) -> RecordEncoder:
    """A function from records of message-ready scalars to the bytes of their messages.

    The scalars are those of ``projection.py``, in the order of the pairs. It raises
    TypeError or ValueError for a value that no message can carry.
    """
    writing = _Writing(pairs, native=False)
    each = writing.lines(f"append({{}}.encode({WIRE!r}))", leave="continue")
    lines = [
        "found = []",
        "append = found.append",
        f"for {_variables(pairs)}, in records:",
        *[f"    {line}" for line in each],
        "return found",
    ]
    return build_function(f"encode_records_{name}", "records", lines, writing.names)


def _variables(pairs: Iterable[Pair]) -> str:
    return ", ".join(f"{pair.column}_" for pair in pairs)


class _Writing:
    """How values become the text of a message, as lines of a function.

    Attributes:
        names: The objects that the lines name.
    """

    def __init__(self, pairs: Sequence[Pair], *, native: bool) -> None:
        """Compose the lines.

        Args:
            pairs: The columns, whose values are in the variables of ``_variables``.
            native: Whether the values are the row's own, else message-ready scalars.
        """
        self.names: dict[str, Any] = {"join": "".join, "recode": pieces.recode}
        self._native = native
        self._looks: list[str] = []
        self._known: dict[str, str] = {}
        text = ""
        for pair in pairs:
            value = f"{pair.column}_"
            self._look_at(pair, value)
            constant, parts = self._piece(pair, value)
            if pair.nullable:
                # Each by itself: an f-string of its own would be made, and then copied.
                parts = [f"'{constant}'", *parts] if constant else parts
                text += "".join(f"{{'' if {value} is None else {part}}}" for part in parts)
            else:
                text += constant + "".join(f"{{{part}}}" for part in parts)
        self._text = f"f'{text}'"

    def lines(self, use: str, leave: str = "") -> list[str]:
        """The lines that look at the values, compose the text and use it.

        Numbers and dates are looked up where they are known, as nearly all are; if one is
        not, it is done again with a call for each, which makes and remembers what is missing.

        Args:
            use: What is done with the text, for which ``{}`` stands.
            leave: What ends it, if ``use`` does not.
        """
        used = use.format(self._text)
        if not self._known:
            return [*self._looks, used]
        called = used
        for known, call in self._known.items():
            called = called.replace(known, call)
        end = [f"else: {leave}"] if leave else []
        return [*self._looks, "try:", f"    {used}", "except KeyError: pass", *end, called]

    def _look_at(self, pair: Pair, value: str) -> None:
        unset = f"{value} is not None and " if pair.nullable else ""
        classes = (_NATIVE if self._native else _READY).get(pair.shape)
        if classes is not None:
            named = [self._named(kind) for kind in classes]
            wanted = " and ".join(f"{value}.__class__ is not {name}" for name in named)
            self._looks.append(f"if {unset}{wanted}: raise TypeError('is of another class')")
        if pair.shape is Shape.TEXT:
            self._looks.append(f"if {unset}not {value}.isascii(): {value} = recode({value})")

    def _named(self, kind: type) -> str:
        name = f"{kind.__module__}_{kind.__name__}".replace(".", "_")
        self.names[name] = kind
        return name

    def _piece(self, pair: Pair, value: str) -> tuple[str, list[str]]:  # noqa: C901, PLR0911 - one case a shape
        """What a field is written as that is set, tag included.

        Args:
            pair: The column and the field.
            value: The variable of the value, which is not None.

        Returns:
            The constant that it begins with, and the expressions of what follows.
        """
        names, field, made = self.names, pair.descriptor, f"made_{pair.column}"
        tag = tag_of(field, BYTES)
        match pair.shape:
            case Shape.UUID:
                return _literal(tag + _UUID_LENGTH), [f"{value}!s"]
            case Shape.TEXT:
                # An empty text is written where it is told from an unset one, and only there.
                heads = pieces.short_heads(field)
                names[made] = heads if field.has_presence else ("", *heads[1:])
                names[f"longer_{pair.column}"] = pieces.head_of(field)
                short = f"{made}[size] if (size := len({value})) < {SHORT}"
                return "", [f"{short} else longer_{pair.column}(size)", value]
            case Shape.ENUM:
                tag = tag_of(field, VARINT)
                names[made] = {
                    member: (tag + varint(number)).decode(WIRE)
                    for member, number in enum_numbers(pair.type, field).items()
                }
                return "", [f"{made}[{value}]"]
            case Shape.BOOL:
                flag = tag_of(field, VARINT).decode(WIRE)
                names[made] = {
                    False: flag + "\0" if field.has_presence else "",
                    True: flag + "\1",
                }
                return "", [f"{made}[{value}]"]
            case Shape.DOUBLE:
                names["double"] = lambda number: _DOUBLE.pack(number).decode(WIRE)
                return _literal(tag_of(field, FIXED64)), [f"double({value})"]
            case Shape.MONEY | Shape.DECIMAL:
                # By its text, of which Decimal() makes the same again: a Decimal takes 500 ns to
                # find its hash, for each that the driver gives anew, and 60 ns to write its text.
                text = f"f'{{{value}!s}}'" if self._native else value
                numbers = pieces.numbers(pair.type.scale, money=pair.shape is Shape.MONEY)
                return _literal(tag), [self._look_up(pair, text, numbers)]
            case Shape.DATE:
                dates = pieces.dates() if self._native else pieces.days()
                return _literal(tag), [self._look_up(pair, value, dates)]
            case Shape.TIME:
                names |= {made: pieces.time_writer(tag), "EPOCH": _EPOCH}
                if self._native:
                    since = f"(since := {value} - EPOCH)"  # a TypeError for a naive one
                    seconds = f"{since}.days * 86400 + since.seconds"
                    return "", [f"{made}({seconds}, since.microseconds)"]
                return "", [f"{made}(*divmod({value}, {_MILLION}))"]
            case Shape.TEXTS:
                names |= {made: pieces.head_of(field), "read": _READ_JSON}
                texts = value if self._native else f"read({value})[0]"
                text = "each if each.isascii() else recode(each)"
                return "", [f"join([{made}(len(text := {text})) + text for each in {texts}])"]

    def _look_up(self, pair: Pair, key: str, memory: tuple[Any, Any]) -> str:
        """The expression of what a memory has for a key."""
        known, call = f"known_{pair.column}", f"made_{pair.column}"
        self.names[known], self.names[call] = memory
        self._known[f"{known}[{key}]"] = f"{call}({key})"
        return f"{known}[{key}]"


def _literal(encoded: bytes) -> str:
    """Bytes as a piece of an f-string."""
    return "".join(f"\\x{byte:02x}" for byte in encoded)
