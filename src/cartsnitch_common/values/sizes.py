"""Package sizes as retailers print them, made comparable.

Factors are exact by definition: a pound is 0.45359237 kg and a US gallon
3.785411784 l (NIST Handbook 44, appendix C).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
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

_ALIASES: Final = {
    "floz": "fl oz",
    "fz": "fl oz",
    "lbs": "lb",
    "ltr": "l",
    "lt": "l",
    "pk": "ct",
    "pack": "ct",
    "cnt": "ct",
    "count": "ct",
}
_PACKS: Final = {"pk", "pack"}

# A whole number and a fraction, a fraction, or a decimal number.
_NUMBER: Final = r"(?:(?:\d{1,3}\s)?\d{1,4}\s?/\s?\d{1,4}|\d{1,6}(?:\.\d{1,4})?|\.\d{1,4})"
_TIMES: Final = re.compile(r"\s?[xX]\s?")
_OVER: Final = re.compile(r"\s?/\s?")
_SIZE: Final = re.compile(rf"({_NUMBER})(?:\s?[xX]\s?({_NUMBER}))?", re.ASCII)
_PRINTED: Final = re.compile(
    rf"(?<![\w./,])({_NUMBER}(?:\s?[xX]\s?{_NUMBER})?)\s?"
    r"(fl\.?\s?oz|floz|fz|oz|lbs?|kg|g|ml|ltr|lt|l|gal|qt|pt|ct|cnt|count|pk|pack)(?![a-z])",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A size in base units.

    Attributes:
        amount: How much, exactly. Unit: the dimension's base unit; above zero.
        dimension: What is measured.
    """

    amount: Fraction
    dimension: Dimension

    def is_comparable_to(self, other: Size) -> bool:
        """Whether both measure the same: ounces and grams do, ounces and pieces do not."""
        return self.dimension == other.dimension


def parse_size(size: str, unit: str) -> Size:
    """Read a size as the contract carries it.

    Args:
        size: ``"18"``, ``"1/2"`` or, for a multipack, ``"12 x 12"``.
        unit: One of :data:`UNITS`, or a usual spelling of one.

    Raises:
        ValueError: The unit is none that can be compared, or the size no number above zero.
    """
    name = normalize_unit(unit)
    if name not in UNITS:
        message = f"{unit!r} is no unit of size"
        raise ValueError(message)
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        message = f"{size!r} is no size"
        raise ValueError(message)
    dimension, factor = UNITS[name]
    amount = factor
    for number in match.groups():
        amount *= _fraction(number) if number is not None else 1
    if amount <= 0:
        message = "a size must be above zero"
        raise ValueError(message)
    return Size(amount=amount, dimension=dimension)


def find_size(text: str) -> Printed | None:
    """Find the size that a receipt line prints: ``"CEREAL 18OZ"`` has ``("18", "oz")``.

    Of several weights or volumes the last counts. Packs beside it make a multipack:
    ``"SODA 12PK 12 FL OZ"`` has ``("12 x 12", "fl oz")``, and so do pieces beside a
    volume, because a liquid comes in pieces only by its containers. Pieces beside a
    weight do not: ``"EGGS 12 CT 24 OZ"`` has ``("24", "oz")``, since a package states
    what all that it holds weighs (21 CFR 101.7).
    """
    found = [(number, unit.lower()) for number, unit in _PRINTED.findall(text)]
    if not found:
        return None
    counts = [(number, unit) for number, unit in found if normalize_unit(unit) == "ct"]
    measured = [(number, unit) for number, unit in found if normalize_unit(unit) != "ct"]
    if not measured:
        return _TIMES.sub(" x ", counts[-1][0]), "ct"
    size, unit = measured[-1][0], normalize_unit(measured[-1][1])
    # One spelling, so that a finding is made once.
    size = _TIMES.sub(" x ", _OVER.sub("/", size))
    is_liquid = UNITS[unit][0] is Dimension.VOLUME
    packs = [number for number, name in counts if is_liquid or name in _PACKS]
    if packs and " x " not in size:
        pack = _count(packs[-1])
        if pack is None:
            return None  # a size without its pack would be another
        size = f"{pack} x {size}"
    return size, unit


def _count(pack: str) -> str | None:
    """How many a pack holds; of 2 x 12 all of them, where that is a whole number."""
    times, _, number = _TIMES.sub(" x ", pack).rpartition(" x ")
    if not times:
        return number
    whole = times.isdecimal() and number.isdecimal()
    return str(int(times) * int(number)) if whole else None


def normalize_unit(unit: str) -> str:
    """A unit in the spelling of :data:`UNITS` where it is a usual spelling of one."""
    name = re.sub(r"\.", "", unit.strip().lower())
    name = re.sub(r"\s+", " ", name)
    return _ALIASES.get(name.replace(" ", ""), name)


def _fraction(number: str) -> Fraction:
    try:
        whole, _, part = _OVER.sub("/", number).rpartition(" ")
        return Fraction(part) + Fraction(whole or 0)
    except ZeroDivisionError:
        message = "a size cannot be divided by zero"
        raise ValueError(message) from None
