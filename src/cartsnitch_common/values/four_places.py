"""Prices and shares of four decimal places, the same under every decimal context of a caller."""

from __future__ import annotations

import decimal
from typing import Final

from cartsnitch_common.values.numbers import EXACT

SUMS: Final = decimal.Context(
    prec=40,
    rounding=decimal.ROUND_HALF_EVEN,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)
"""What sums are made in: operators use the calling thread's context, which may have few digits."""

_STEP: Final = decimal.Decimal("0.0001")
_WHOLE: Final = 10_000


def rounded(number: decimal.Decimal) -> decimal.Decimal:
    """A number rounded to four places, half to even."""
    return SUMS.quantize(number, _STEP)


def ten_thousandths(share: decimal.Decimal | int) -> int:
    """A share of a whole, in ten thousandths of it.

    Raises:
        ValueError: It is no Decimal from 0 to 1, or has more than four decimal places.
    """
    message = "must be from 0 to 1, with at most 4 decimal places"
    try:
        found = EXACT.scaleb(share, 4)
    except (TypeError, decimal.Inexact, decimal.InvalidOperation):  # a float; its digits; a signal
        raise ValueError(message) from None
    if isinstance(share, bool) or not found.is_finite() or not 0 <= found <= _WHOLE:
        raise ValueError(message)
    whole = int(found)
    if whole != found:
        raise ValueError(message)
    return whole
