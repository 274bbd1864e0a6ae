"""What pages of rows have in common: where one begins, and how long it is."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from cartsnitch_common.errors import InvalidFieldError

PAGE: Final = 50
"""The rows of a page where the caller names no number."""

LONGEST: Final = (1 << 31) - 1
"""The most rows that a page may be asked for: a number of 32 bits."""

type Position = tuple[dt.date, uuid.UUID]
"""The day and the id of the row behind which a page begins: never a number of rows to skip."""


def checked_limit(limit: int) -> int:
    """The number of rows that a caller asks for, if it is one.

    Raises:
        InvalidFieldError: It is none from 1 to ``LONGEST``; the field is ``limit``.
    """
    if type(limit) is not int or not 1 <= limit <= LONGEST:
        raise InvalidFieldError("limit", f"must be from 1 to {LONGEST}")
    return limit
