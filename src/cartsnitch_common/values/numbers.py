"""Exact numbers in the parts that the contract carries them in."""

from __future__ import annotations

import decimal
import re
from typing import Final

NANOS: Final = 1_000_000_000
"""Nanos in a unit of money, and in a second."""

_PLACES: Final = 9
_CENT: Final = NANOS // 100

_UNITS: Final = 2**63
"""The first number of units that the contract's field cannot carry."""

_DIGITS: Final = 19
"""The digits of that number. With more a number is not written out, which takes memory."""

_TOO_MANY: Final = "has more units than 64 bits hold"

_PLAIN: Final = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,9})?", re.ASCII)
EXACT: Final = decimal.Context(prec=40, traps=[decimal.Inexact, decimal.InvalidOperation])
"""In place of the thread's, which is the program's to choose."""


def money_to_parts(amount: decimal.Decimal | int) -> tuple[int, int]:
    """Split an amount into whole units and nanos, both of its sign.

    Raises:
        TypeError: The amount is neither a Decimal nor an int; a float above all.
        ValueError: It is no finite number, has more than nine decimal places, or more units
            than 64 bits hold.
    """
    message = "has more than nine decimal places"
    number = _exact(amount)
    if number.adjusted() >= _DIGITS:
        raise ValueError(_TOO_MANY)
    try:
        nanos = number.scaleb(_PLACES, EXACT)
    except decimal.Inexact:  # of a float's 50 digits
        raise ValueError(message) from None
    whole = int(nanos)
    if whole != nanos:
        raise ValueError(message)
    sign = -1 if whole < 0 else 1
    units, rest = divmod(abs(whole), NANOS)
    if units >= _UNITS:
        raise ValueError(_TOO_MANY)
    return sign * units, sign * rest


def money_from_parts(units: int, nanos: int) -> decimal.Decimal:
    """Join units and nanos to an amount of at least two decimal places.

    Raises:
        ValueError: The signs differ, or nanos is a unit or more.
    """
    if not -NANOS < nanos < NANOS or (units > 0 > nanos) or (units < 0 < nanos):
        message = "units and nanos must have the same sign, and nanos be less than a unit"
        raise ValueError(message)
    cents, finer = divmod(units * NANOS + nanos, _CENT)
    if not finer:
        return decimal.Decimal(cents).scaleb(-2, EXACT)
    return decimal.Decimal(units * NANOS + nanos).scaleb(-_PLACES, EXACT).normalize(EXACT)


def decimal_to_text(number: decimal.Decimal | int) -> str:
    """Write a number in plain notation, without trailing zeros or a negative zero.

    Raises:
        TypeError: It is neither a Decimal nor an int.
        ValueError: It is no finite number, or longer than the contract carries.
    """
    message = "has more than 18 digits or more than nine decimal places"
    exact = _exact(number)
    if not -_PLACES <= exact.adjusted() < _DIGITS:
        raise ValueError(message)
    text = format(exact, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if not _PLAIN.fullmatch(text):
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
    message = f"has more than {scale} decimal places"
    exact = _finite(number)
    if exact.adjusted() >= precision - scale:
        message = f"has more than {precision - scale} digits before the point"
        raise ValueError(message)
    try:
        whole = exact.scaleb(scale, EXACT)
    except decimal.Inexact:
        raise ValueError(message) from None
    if whole != int(whole):
        raise ValueError(message)
    return decimal.Decimal(int(whole)).scaleb(-scale, EXACT)


def _exact(number: decimal.Decimal | int) -> decimal.Decimal:
    if isinstance(number, bool) or not isinstance(number, decimal.Decimal | int):
        message = f"must be a Decimal or an int, not {type(number).__name__}"
        raise TypeError(message)
    return _finite(decimal.Decimal(number))


def _finite(number: decimal.Decimal) -> decimal.Decimal:
    """The number; zero without its sign and its exponent, which may be any."""
    if not number.is_finite():
        message = "must be a finite number"
        raise ValueError(message)
    return number or decimal.Decimal(0)
