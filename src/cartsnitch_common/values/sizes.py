"""Package sizes as retailers print them, made comparable.

Factors are exact by definition: a pound is 0.45359237 kg and a US gallon
3.785411784 l (NIST Handbook 44, appendix C).
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import Final

type Printed = tuple[str, str]
"""A size and its unit as printed: ``("12 x 12", "fl oz")``."""


class Dimension(StrEnum):
    """What a size measures; sizes of different dimensions cannot be compared."""

    WEIGHT = "weight"
    """Base unit: gram."""
    VOLUME = "volume"
    """Base unit: millilitre."""
    COUNT = "count"
    """Base unit: piece."""


_POUND: Final = Fraction("453.59237")
_GALLON: Final = Fraction("3785.411784")

UNITS: Final[dict[str, tuple[Dimension, Fraction]]] = {
    "g": (Dimension.WEIGHT, Fraction(1)),
    "kg": (Dimension.WEIGHT, Fraction(1000)),
    "oz": (Dimension.WEIGHT, _POUND / 16),
    "lb": (Dimension.WEIGHT, _POUND),
    "ml": (Dimension.VOLUME, Fraction(1)),
    "l": (Dimension.VOLUME, Fraction(1000)),
    "fl oz": (Dimension.VOLUME, _GALLON / 128),
    "pt": (Dimension.VOLUME, _GALLON / 8),
    "qt": (Dimension.VOLUME, _GALLON / 4),
    "gal": (Dimension.VOLUME, _GALLON),
    "ct": (Dimension.COUNT, Fraction(1)),
}
"""Each unit's dimension and its size in base units."""

PACKS: Final = frozenset({"pk", "pks", "pack", "packs"})
"""The spellings of a count that say that what is counted are packages."""

ALIASES: Final = {
    **dict.fromkeys(("gram", "grams"), "g"),
    **dict.fromkeys(("kgs", "kilogram", "kilograms"), "kg"),
    **dict.fromkeys(("ounce", "ounces"), "oz"),
    **dict.fromkeys(("lbs", "pound", "pounds"), "lb"),
    **dict.fromkeys(("milliliter", "milliliters", "millilitre", "millilitres"), "ml"),
    **dict.fromkeys(("lt", "ltr", "ltrs", "liter", "liters", "litre", "litres"), "l"),
    **dict.fromkeys(("fz", "floz", "flounce", "flounces"), "fl oz"),
    **dict.fromkeys(("fluidoz", "fluidounce", "fluidounces"), "fl oz"),
    **dict.fromkeys(("pint", "pints"), "pt"),
    **dict.fromkeys(("qts", "quart", "quarts"), "qt"),
    **dict.fromkeys(("gals", "gallon", "gallons"), "gal"),
    **dict.fromkeys((*PACKS, "cts", "cnt", "count", "counts"), "ct"),
}
"""The usual spellings of a unit, without spaces, points and hyphens."""

DECIMAL: Final = r"(?:\d{1,6}(?:\.\d{1,4})?|\.\d{1,4})"
_DECIMAL: Final = re.compile(DECIMAL, re.ASCII)
_FRACTION: Final = re.compile(r"(?:(\d{1,3})(?:\s+|-\s*))?(\d{1,2})\s*/\s*(\d{1,2})", re.ASCII)
_TIMES: Final = re.compile(r"\s*[xX]\s*")

VULGAR: Final = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
"""The fractions that are one character."""
FRACTION_SLASH: Final = "\N{FRACTION SLASH}"
"""What makes a fraction of two numbers, and of ``"½"`` under Unicode's normal form NFKC."""
_PLAIN: Final = str.maketrans(
    {one: f" {unicodedata.normalize('NFKC', one)}" for one in VULGAR}
    | dict.fromkeys("\u00a0\u2007\u2009\u202f", " ")
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
    | {"\N{MULTIPLICATION SIGN}": "x"}
)

_LESS: Final = Fraction(97, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A size in base units.

    Attributes:
        amount: How much, exactly. Unit: the dimension's base unit; above zero.
        dimension: What is measured.
        step: What one more in the last printed digit would add; 0 for a fraction.
            Unit: the dimension's base unit. Equal sizes may differ in it.
    """

    amount: Fraction
    dimension: Dimension
    step: Fraction = field(default=Fraction(0), compare=False)

    def is_comparable_to(self, other: Size) -> bool:
        """Whether both measure the same: ounces and grams do, ounces and pieces do not."""
        return self.dimension == other.dimension

    def may_be(self, other: Size) -> bool:
        """Whether this may be the other one, converted to another unit for the label.

        A converted number is rounded to the last digit that is printed, or cut off
        there, since no label may overstate: a pound is 454 g and 453 g, and 2 l are
        67.6 fl oz. So a number stands for all that is printed as it, and two sizes may
        be one where these ranges meet. But 3 % less is less, however it is printed:
        labels have two digits below 100 g and three above (16 CFR 500.19), so that a
        conversion loses less, and "1 l" is no quart that was rounded up.
        """
        less, more = sorted((self, other), key=lambda size: size.amount)
        if less.dimension != more.dimension or less.amount <= more.amount * _LESS:
            return False
        return less.amount == more.amount or (more.amount - more.step / 2 < less.amount + less.step)


def parse_size(size: str, unit: str) -> Size:
    """Read a size as the contract carries it.

    Args:
        size: ``"18"``, ``"1/2"`` or, for a multipack, ``"12 x 12"``. A fraction is below
            one and in lowest terms, as labels have to print it (21 CFR 101.7): what
            ``"12/12"`` means is not known.
        unit: One of :data:`UNITS`, or a usual spelling of one.

    Raises:
        ValueError: The unit is none that can be compared, or the size no number above zero.
    """
    name = normalize_unit(unit)
    if name not in UNITS:
        message = f"{unit!r} is no unit of size"
        raise ValueError(message)
    *packs, number = _TIMES.split(plain(size).strip())
    pack, one = spell_number(packs[0]) if packs else "1", spell_number(number)
    if pack is None or one is None or len(packs) > 1:
        message = f"{size!r} is no size"
        raise ValueError(message)
    dimension, factor = UNITS[name]
    factor *= _value(pack)
    amount = factor * _value(one)
    if amount <= 0:
        message = "a size must be above zero"
        raise ValueError(message)
    return Size(amount=amount, dimension=dimension, step=factor * _step(one))


def normalize_unit(unit: str) -> str:
    """A unit in the spelling of :data:`UNITS` where it is a usual spelling of one."""
    name = re.sub(r"\s+", " ", unit.strip().lower().replace(".", ""))
    return ALIASES.get(re.sub(r"[ -]", "", name), name)


def plain(text: str) -> str:
    """A text in which the signs of sizes are those of ASCII: of ``"1½"`` two numbers are made.

    Only the fraction slash between them stays, because it is sure to make a fraction.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text).translate(_PLAIN)


def spell_number(text: str) -> str | None:
    """A decimal number or a common fraction in its one spelling; None for all else."""
    if _DECIMAL.fullmatch(text):
        return text
    match = _FRACTION.fullmatch(text.replace(FRACTION_SLASH, "/").strip())
    if match is None or not is_common_fraction(int(match[2]), int(match[3])):
        return None
    part = f"{match[2]}/{match[3]}"
    return part if match[1] is None else f"{match[1]} {part}"


def is_common_fraction(over: int, under: int) -> bool:
    """Whether a label may print the fraction: below one, and in lowest terms."""
    return 0 < over < under and math.gcd(over, under) == 1


def _value(number: str) -> Fraction:
    whole, _, part = number.rpartition(" ")
    return Fraction(part) + Fraction(whole or 0)


def _step(number: str) -> Fraction:
    if "/" in number:
        return Fraction(0)
    return Fraction(1, 10 ** len(number.partition(".")[2]))
