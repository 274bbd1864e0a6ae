"""Ids: time-ordered UUIDs, and the text form that the contract carries."""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import Final

_LOCK: Final = threading.Lock()
_COUNTER_BITS: Final = 42
_last: list[int] = [0, 0]  # milliseconds and counter of the newest UUID


def new_uuid() -> uuid.UUID:
    """A new UUIDv7, greater than every one this process made before.

    Milliseconds in the top 48 bits keep the index's inserts at its end; a
    42-bit counter below them keeps the order within a millisecond, which is how
    the lines of a receipt keep theirs. Source: RFC 9562, section 6.2, method 1.
    """
    high, low = _draw()
    return uuid.UUID(int=(high >> 12) << 80 | 7 << 76 | (high & 0xFFF) << 64 | low)


def new_uuid_text() -> str:
    """``new_uuid`` in its canonical text, for who needs no object."""
    high, low = _draw()
    first, last = f"{high:015x}", f"{low:016x}"
    return f"{first[:8]}-{first[8:12]}-7{first[12:]}-{last[:4]}-{last[4:]}"


def _draw() -> tuple[int, int]:
    """The 60 bits of an id above its version and below it, and the 64 bits from its variant on."""
    now = time.time_ns() // 1_000_000
    random = os.urandom(10)
    with _LOCK:
        if now > _last[0]:
            # The counter's top bit starts at 0, which leaves room for 2^41 steps.
            _last[:] = now, int.from_bytes(random[:6]) & ((1 << (_COUNTER_BITS - 1)) - 1)
        else:
            _last[1] += 1
            if _last[1] >> _COUNTER_BITS:
                _last[:] = _last[0] + 1, 0
        milliseconds, counter = _last
    high = (milliseconds & ((1 << 48) - 1)) << 12 | counter >> 30
    return high, 0b10 << 62 | (counter & ((1 << 30) - 1)) << 32 | int.from_bytes(random[6:])


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
