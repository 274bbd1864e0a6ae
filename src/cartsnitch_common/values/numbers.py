"""Exact numbers in the parts that the contract carries them in."""

from __future__ import annotations

import decimal
import re
from typing import Final

NANOS: Final = 1_000_000_000
"""Nanos in a unit of money, and in a second."""

_PLAIN: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?", re.ASCII)
_EXACT: Final = decimal.Context(prec=40, traps=[decimal.Inexact, decimal.InvalidOperation])


def money_to_parts(amount: decimal.Decimal | int) -> tuple[int, int]:
    """Split an amount into whole units and nanos, both of its sign.

    Raises:
        TypeError: The amount is neither a Decimal nor an int; a float above all.
        ValueError: It is no finite number or has more than nine decimal places.
    """
    message = "has more than nine decimal places"
    try:
        nanos = _exact(amount).scaleb(9, _EXACT)
    except decimal.Inexact:  # of a float's 50 digits
        raise ValueError(message) from None
    whole = int(nanos)
    if whole != nanos:
        raise ValueError(message)
    sign = -1 if whole < 0 else 1
    units, rest = divmod(abs(whole), NANOS)
    return sign * units, sign * rest


def money_from_parts(units: int, nanos: int) -> decimal.Decimal:
    """Join units and nanos to an amount of at least two decimal places.

    Raises:
        ValueError: The signs differ, or nanos is a unit or more.
    """
    if not -NANOS < nanos < NANOS or (units > 0 > nanos) or (units < 0 < nanos):
        message = "units and nanos must have the same sign, and nanos be less than a unit"
        raise ValueError(message)
    amount = decimal.Decimal(units * NANOS + nanos).scaleb(-9, _EXACT)
    cents = amount.quantize(decimal.Decimal("0.01"), context=decimal.Context(prec=40))
    return cents if cents == amount else amount.normalize(_EXACT)


def decimal_to_text(number: decimal.Decimal | int) -> str:
    """Write a number in plain notation, without trailing zeros or a negative zero.

    Raises:
        TypeError: It is neither a Decimal nor an int.
        ValueError: It is no finite number, or longer than the contract carries.
    """
    text = format(_exact(number), "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if text == "-0":
        text = "0"
    if not _PLAIN.fullmatch(text):
        message = "has more than 18 digits or more than nine decimal places"
        raise ValueError(message)
    return text


def text_to_decimal(text: str) -> decimal.Decimal:
    """Read a number in plain notation.

    Raises:
        ValueError: The text is anything else.
    """
    if not _PLAIN.fullmatch(text):
        message = "must be a decimal number in plain notation"
        raise ValueError(message)
    return decimal.Decimal(text)


def fit(number: decimal.Decimal, *, precision: int, scale: int) -> decimal.Decimal:
    """Give a number the scale of a NUMERIC column, exactly.

    Args:
        number: The number.
        precision: The column's digits in all.
        scale: Its digits after the point.

    Raises:
        ValueError: The number does not fit without rounding.
    """
    if not number.is_finite():
        message = "must be a finite number"
        raise ValueError(message)
    whole = number.scaleb(scale, _EXACT)
    if whole != int(whole):
        message = f"has more than {scale} decimal places"
        raise ValueError(message)
    if abs(whole) >= 10**precision:
        message = f"has more than {precision - scale} digits before the point"
        raise ValueError(message)
    return decimal.Decimal(int(whole)).scaleb(-scale, _EXACT)


def _exact(number: decimal.Decimal | int) -> decimal.Decimal:
    if isinstance(number, bool) or not isinstance(number, decimal.Decimal | int):
        message = f"must be a Decimal or an int, not {type(number).__name__}"
        raise TypeError(message)
    number = decimal.Decimal(number)
    if not number.is_finite():
        message = "must be a finite number"
        raise ValueError(message)
    return number
