"""The pieces of which the bytes of a message are put together, most of them remembered.

Each is text of which a character is a byte: see ``wire.py``, which joins them.
"""

from __future__ import annotations

import datetime as dt
import decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from cartsnitch_common.contract.memo import memory, remembered
from cartsnitch_common.contract.scalars import to_date, to_decimal, to_money

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from google.protobuf.message import Message

WIRE: Final = "latin-1"
"""The encoding in which each byte is the character of its number."""

VARINT, FIXED64, BYTES = 0, 1, 2
"""How a field's value is written."""

SHORT: Final = 512
"""What is shorter than this has its length looked up."""

_EPOCH_DAY: Final = dt.date(1970, 1, 1).toordinal()


def varint(number: int) -> bytes:
    """A whole number as protobuf writes it: seven bits a byte, the lowest first."""
    number &= (1 << 64) - 1
    found = bytearray()
    while number > 0x7F:  # noqa: PLR2004 - seven bits
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def tag_of(field: Any, kind: int) -> bytes:
    """What stands before a value that is written in one of the three ways."""
    return varint(field.number << 3 | kind)


def message_prefix(field: Any) -> Callable[[int], bytes]:
    """What stands before a message of some length in a field."""
    tag = tag_of(field, BYTES)
    return remembered(lambda length: tag + varint(length))


def head_of(field: Any) -> Callable[[int], str]:
    """What stands before a text or a message of some length in a field, as text."""
    tag = tag_of(field, BYTES)
    return remembered(lambda length: (tag + varint(length)).decode(WIRE))


def short_heads(field: Any) -> Sequence[str]:
    """What ``head_of`` gives for each length below ``SHORT``."""
    return _heads(tag_of(field, BYTES))


@cache
def numbers(scale: int, *, money: bool) -> tuple[dict[str, str], Callable[[str], str]]:
    """The memory of numbers by their text, without the tag.

    All columns of a scale have one memory, a quarter of what one each would take: a receipt's
    unit prices and regular prices are the same prices, and what is small stays in the
    processor's cache.
    """
    del scale  # texts of another scale are other texts
    write = to_money if money else to_decimal
    return memory(lambda text: _sized(write(decimal.Decimal(text))))


@cache
def dates() -> tuple[dict[dt.date, str], Callable[[dt.date], str]]:
    """The memory of dates, without the tag."""
    return memory(lambda date: _sized(to_date(date)))


@cache
def days() -> tuple[dict[int, str], Callable[[int], str]]:
    """The memory of dates by the days since 1970, without the tag."""
    return memory(lambda since: _sized(to_date(dt.date.fromordinal(_EPOCH_DAY + since))))


def time_writer(tag: bytes) -> Callable[[int, int], str]:
    """What writes the seconds since 1970 and the microseconds of a time, tag included."""
    prefixes = [tag + bytes([length]) for length in range(32)]

    def write(seconds: int, microseconds: int) -> str:
        message = Timestamp()
        message.seconds = seconds
        message.nanos = microseconds * 1000
        payload = message.SerializeToString()
        return (prefixes[len(payload)] + payload).decode(WIRE)

    return write


def recode(text: str) -> str:
    """The text of the bytes of a text."""
    return text.encode().decode(WIRE)


@cache
def _heads(tag: bytes) -> Sequence[str]:
    return tuple((tag + varint(length)).decode(WIRE) for length in range(SHORT))


def _sized(message: Message) -> str:
    payload = message.SerializeToString()
    return (varint(len(payload)) + payload).decode(WIRE)
