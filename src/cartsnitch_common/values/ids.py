"""Ids: time-ordered UUIDs, and the text form that the contract carries."""

from __future__ import annotations

import os
import struct
import threading
import time
import uuid
from typing import Final

_LOCK: Final = threading.Lock()
_COUNTER_BITS: Final = 42
_LOW_MASK: Final = (1 << (_COUNTER_BITS - 12)) - 1  # what stands behind the variant
_LAST_MASK: Final = (1 << 16) - 1  # and behind the last hyphen
_last: list[int] = [0]  # milliseconds and counter of the newest UUID


def new_uuid() -> uuid.UUID:
    """A new UUIDv7, greater than every one this process made before.

    Milliseconds in the top 48 bits keep the index's inserts at its end; a
    42-bit counter below them keeps the order within a millisecond, which is how
    the lines of a receipt keep theirs. Source: RFC 9562, section 6.2, method 1.
    """
    first = _draw(1)
    high, low = first >> (_COUNTER_BITS - 12), first & _LOW_MASK
    value = (high >> 12) << 80 | 7 << 76 | (high & 0xFFF) << 64
    return uuid.UUID(int=value | 0b10 << 62 | low << 32 | int.from_bytes(os.urandom(4)))


def new_uuid_texts(count: int) -> list[str]:
    """So many of ``new_uuid``, ascending, in their canonical text."""
    number, texts = _draw(count), []
    if count == 1:  # what several share costs more than it saves one
        digits = f"{number >> (_COUNTER_BITS - 12):015x}{0b10 << 30 | number & _LOW_MASK:08x}"
        start = f"{digits[:8]}-{digits[8:12]}-7{digits[12:15]}"
        return [f"{start}-{digits[15:19]}-{digits[19:]}{os.urandom(4).hex()}"]
    end = number + count
    while number < end:
        high = f"{number >> (_COUNTER_BITS - 12):015x}"
        low = number & _LOW_MASK
        middle = 0b10 << 14 | low >> 16
        start = f"{high[:8]}-{high[8:12]}-7{high[12:]}-{middle:x}-"  # of all until these are full
        last = low & _LAST_MASK
        some = min(end - number, _LAST_MASK + 1 - last)
        lasts = struct.pack(f">{some}H", *range(last, last + some))
        tails = bytearray(os.urandom(6 * some))  # two bytes of the counter, and four by chance
        tails[::6], tails[1::6] = lasts[::2], lasts[1::2]
        digits = tails.hex()
        texts += [start + digits[at : at + 12] for at in range(0, 12 * some, 12)]
        number += some
    return texts


def _draw(count: int) -> int:
    """So many numbers in a row that nobody had before; the first of them.

    The upper 48 bits are milliseconds, the lower 42 the counter.
    """
    now = (time.time_ns() // 1_000_000) << _COUNTER_BITS
    with _LOCK:
        if now > _last[0]:
            # The counter's top bit starts at 0, which leaves room for 2^41 steps; a step
            # beyond would be the next millisecond's.
            _last[0] = now | int.from_bytes(os.urandom(6)) & ((1 << (_COUNTER_BITS - 1)) - 1)
        first = _last[0] + 1
        _last[0] += count
    return first


def parse_uuid(text: str) -> uuid.UUID:
    """Read a UUID in its canonical form: 36 characters, lower case.

    Raises:
        ValueError: It is anything else; ``uuid.UUID`` would take many spellings
            of one id, which then compare unequal as text.
    """
    try:
        value = uuid.UUID(text)
    except ValueError:
        value = None
    if value is None or str(value) != text:
        message = "must be a UUID in canonical lower-case form"
        raise ValueError(message)
    return value
