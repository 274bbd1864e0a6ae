"""What a receipt line prints in the units of sizes that is no package's size.

Goods that were weighed, prices for one unit or for several pieces, and numbers that
measure something else. In doubt it is no package: a size that is missed is one
comparison less, a wrong one makes a package shrink that did not.
"""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cartsnitch_common.values.sizes import Printed

_UNIT: Final = r"(?:fl\.?\s?oz|floz|oz|lbs?|kgs?|g|ml|l|qts?|pts?|gals?)"
# "2.31 LB .59/LB", "GRAPES 2.1 LB/2.99", but not "5 LB/2.27 KG", which is one size twice.
_PRICE_OF_A_UNIT: Final = re.compile(
    rf"/\s*(?:#|{_UNIT}\b)|{_UNIT}\.?\s*/\s*\$?\d*\.\d\d(?!\d|\s*{_UNIT}\b)",
    re.IGNORECASE | re.ASCII,
)
_SCALE: Final = re.compile(
    rf"\bper\s+{_UNIT}\b|\bat\s+\$?\d*\.\d\d|\btare\b|\b(?:wt|net)\b\W*\d*\.\d\d",
    re.IGNORECASE | re.ASCII,
)
# Behind a number, they may say how many there are of the size.
_CONTAINERS: Final = re.compile(
    r"\d[\s-]*(?:p|pkc|pkgs?|cans?|cns?|btls?|bts?|bottles?|pouch(?:es)?|cups?|jars?|box(?:es)?)\b",
    re.IGNORECASE | re.ASCII,
)
# "4/16OZ PASTA 5.00", also with the letter of a tax behind the price.
_FOR_A_PRICE: Final = re.compile(
    r"(?<![\w.])(?:[2-9]|\d\d)\s*/\s*\d.*[\s$]\d*\.\d\d(?:\s*[a-z]{1,2})?\s*$",
    re.IGNORECASE | re.ASCII,
)
_NOT_OF_GRAMS: Final = re.compile(
    r"\b(?:protein|prot|sugars?|carbs?|fiber|fat|trash|bags?|phone)\b", re.IGNORECASE | re.ASCII
)

# A scale prints two or three decimal places, a package in pounds halves, quarters and thirds.
_SCALED: Final = frozenset({"lb", "kg", "gal"})
_FROM_SCALE: Final = re.compile(r"\d*\.(?!(?:25|75|33|66|67)$)\d{2,}", re.ASCII)
_MOST_LITERS: Final = 20


def is_no_package(line: str, measures: Iterable[Printed]) -> bool:
    """Whether a line says that what it measures is no package's size.

    Args:
        line: The receipt line, its signs those of ASCII.
        measures: The numbers that it prints, each with its unit as in :data:`UNITS`.
    """
    if "@" in line or _SCALE.search(line) or _CONTAINERS.search(line):
        return True
    if "/" in line and (_PRICE_OF_A_UNIT.search(line) or _FOR_A_PRICE.search(line)):
        return True
    if any(number[0] == "$" for number, _ in measures):
        return True  # "$2.99 LB"
    return any(unit == "g" for _, unit in measures) and _NOT_OF_GRAMS.search(line) is not None


def is_of_no_package(size: Printed) -> bool:
    """Whether no package has such a size: 3.12 lb are from a scale, 800 l are lumens."""
    number = size[0].rpartition(" ")[2]
    if size[1] in _SCALED:
        return _FROM_SCALE.fullmatch(number) is not None
    return size[1] == "l" and "/" not in number and decimal.Decimal(number) > _MOST_LITERS


def was_weighed(size: Printed, quantity: decimal.Decimal) -> bool:
    """Whether a line's quantity says that the size it prints was weighed at the till.

    A quantity that is not whole is a weight. So may be a whole one that is also the
    printed number of pounds: two of ``"2 LB"``. One of ``"1 LB"`` is a package.

    Args:
        size: What the line prints.
        quantity: How much was bought; negative for a return.
    """
    bought = quantity.copy_abs()
    if bought != bought.to_integral_value():
        return True
    return bought > 1 and size[1] in _SCALED and size[0] in {str(int(bought)), f"{bought:.1f}"}
