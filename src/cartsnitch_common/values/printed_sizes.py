"""The size that a receipt line prints, read where it can mean one thing only.

Retailers print a pack in many ways: ``12PK 12OZ``, ``12PK/12OZ`` and ``12/12 OZ`` are
twelve of twelve ounces. What may be read in two ways is not read at all: a size that
is guessed wrong makes a package shrink that did not.
"""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Final

from cartsnitch_common.values.no_package import is_no_package, is_of_no_package
from cartsnitch_common.values.sizes import (
    ALIASES,
    DECIMAL,
    FRACTION_SLASH,
    PACKS,
    UNITS,
    VULGAR,
    Dimension,
    is_common_fraction,
    normalize_unit,
    parse_size,
    plain,
    spell_number,
)

if TYPE_CHECKING:
    from cartsnitch_common.values.sizes import Printed

HAS_NUMBER: Final = f"[0-9{VULGAR}]"
"""What each text that prints a size matches, in Python's expressions and PostgreSQL's."""

# The longer spelling first, or "fl oz" would end as "fl o"; spaces only in fluid ounces.
_UNITS: Final = "|".join(sorted({*UNITS, *ALIASES} - {"fl oz"}, key=len, reverse=True))
_NUMBER: Final = r"(?:\d+(?:\.\d+)?|\.\d+)"
# All that may stand between two numbers of one size, also where it makes it unreadable.
_JOINT: Final = rf"(?:\s*[x/{FRACTION_SLASH}+&=-]\s*|,|\s+to\s+|\s+(?=\d+\s*[/{FRACTION_SLASH}]))"
# Neither in a word ("B12 OZ", in whatever script) nor in the midst of a number.
_PRINTED: Final = re.compile(
    rf"(?<!(?u:\w))(?<![.$])(?<!\d,)(\$?{_NUMBER}(?:{_JOINT}{_NUMBER}){{0,4}})(?:\s*|-)"
    rf"(fl(?:uid)?\.?[\s-]*(?:oz|ounces?)|{_UNITS})(?!(?u:\w))",
    re.IGNORECASE | re.ASCII,
)
# "2X 100 OZ" is a concentrate as well as a pack.
_TIMES: Final = re.compile(r"(\d{1,4})(?:\s+x\s+|\s*x)(\S.*)", re.IGNORECASE | re.ASCII)
_PACK_OF: Final = re.compile(rf"(\d{{1,4}})\s*/\s*({DECIMAL})", re.ASCII)
_WHOLE: Final = re.compile(r"(?:(\d{1,4}) x )?(\d{1,4})", re.ASCII)

_TOTAL: Final = re.compile(r"\b(?:total|ttl)\b", re.IGNORECASE | re.ASCII)

_METRIC: Final = {"g", "kg", "ml", "l"}
_OUNCE: Final = {"oz": 1, "g": 28}
_FEW_GRAMS: Final = 100
# Labels print halves, quarters and so on (21 CFR 101.7), and thirds by custom.
_UNDER: Final = {2, 3, 4, 8, 16, 32}
# Not 2/3, which are two bags of 3 lb for one price.
_ALONE: Final = {"1/2", "1/3", "1/4", "3/4"}
# A carton has six or a multiple, and of small ones; prices are for two to five, or for ten.
_CARTON: Final = 6
_MOST_IN_CARTON: Final = {"oz": 20, "fl oz": 20, "ml": 600, "g": 600}


def find_size(text: str) -> Printed | None:
    """Find the size that a receipt line prints: ``"CEREAL 18OZ"`` has ``("18", "oz")``.

    Of several weights or volumes that are one size in two units the last counts; of
    others none does. Packs beside it make a multipack: ``"SODA 12PK 12 FL OZ"`` has
    ``("12 x 12", "fl oz")``, and so do pieces beside a volume, because a liquid comes
    in pieces only by its containers. Pieces beside a weight do not: ``"EGGS 12 CT 24
    OZ"`` has ``("24", "oz")``, since a package states what all that it holds weighs (21
    CFR 101.7); but less than an ounce a piece may be what each weighs, and is no size.
    Of two counts alone none counts: ``"35CT 2PK"`` may be 35 or 70 pieces. What
    :mod:`~cartsnitch_common.values.no_package` knows is no size either.
    """
    line = plain(text)
    found = [
        (number, name.lower())
        for number, name in _PRINTED.findall(line)
        if number.strip("0.")  # "0 G SUGAR"
    ]
    counts = [(number, name) for number, name in found if normalize_unit(name) == "ct"]
    measures = [
        (number, normalize_unit(name)) for number, name in found if (number, name) not in counts
    ]
    if not found or is_no_package(line, measures):
        return None
    if not measures:
        number = _spell(counts[0][0], "ct") if len(counts) == 1 else None
        return None if number is None else (number, "ct")
    size = _one_size(measures)
    return size if size is None or not counts else _beside(size, counts, line)


def _one_size(measures: list[tuple[str, str]]) -> Printed | None:
    """The last of several sizes, where all of them are the same."""
    sizes: list[Printed] = []
    for number, unit in measures:
        spelled = _spell(number, unit)
        if spelled is None:
            return None
        sizes.append((spelled, unit))
    if all(map(is_of_no_package, sizes)):
        return None
    last = sizes[-1]
    if len(sizes) > 1:
        parsed = parse_size(*last)
        for size in sizes[:-1]:
            other = parse_size(*size)
            if not (parsed == other or (size[1] != last[1] and parsed.may_be(other))):
                return None
    return last


def _beside(size: Printed, counts: list[tuple[str, str]], line: str) -> Printed | None:
    """A size with what the line counts: in its pack, or as that of all the pieces."""
    is_liquid = UNITS[size[1]][0] is Dimension.VOLUME
    packs = [number for number, name in counts if is_liquid or name in PACKS]
    if not packs:
        return None if any(_may_be_each(size, number) for number, _ in counts) else size
    if _TOTAL.search(line) or (size[1] == "g" and parse_size(*size).amount < _FEW_GRAMS):
        return None  # what all packs hold, or the protein in one of them
    return _packed(size, packs)


def _may_be_each(size: Printed, pieces: str) -> bool:
    """Whether a weight beside pieces may be that of one: 10 pouches and 6 oz, 12 bars and 20 g."""
    if size[1] not in _OUNCE or not pieces.isdigit():
        return False
    number, unit = size
    is_decimal = "/" not in number and " " not in number
    return not is_decimal or decimal.Decimal(number) < int(pieces) * _OUNCE[unit]


def _packed(size: Printed, packs: list[str]) -> Printed | None:
    """A size in its pack; None where there are several, or where it has another already."""
    spelled = _spell(packs[0], "ct")
    whole = _WHOLE.fullmatch(spelled) if spelled is not None and len(packs) == 1 else None
    if whole is None:
        return None  # a size without its pack would be another
    pack = str(int(whole[1] or 1) * int(whole[2]))
    times, _, number = size[0].rpartition(" x ")
    return (f"{pack} x {number}", size[1]) if times in {"", pack} else None


def _spell(printed: str, unit: str) -> str | None:
    """A number of a receipt in one spelling, so that a finding is made once.

    None where it may mean several: a range ("10-14 LB"), a price ("2/5 LB").
    """
    times = _TIMES.fullmatch(printed)
    if times is not None:
        pack, number = times[1], _spell_one(times[2], unit)
        return f"{pack} x {number}" if number is not None and int(pack) else None
    pack_of = _PACK_OF.fullmatch(printed)
    if pack_of is not None and _is_pack(pack_of[1], pack_of[2], unit):
        return f"{pack_of[1]} x {pack_of[2]}"
    return _spell_one(printed, unit)


def _spell_one(printed: str, unit: str) -> str | None:
    """A number without a pack; None for zero, and for a fraction that may be none."""
    number = spell_number(printed)
    if number is None or "/" not in number:
        return number if number is not None and number.strip("0.") else None
    if unit == "ct":
        return None  # shrimp are 16/20 to the pound
    if " " in number and unit in _METRIC:
        return None  # 24 1/2 L are twenty-four bottles
    if FRACTION_SLASH in printed:
        return number
    if " " in number:
        return number if int(number.partition("/")[2]) in _UNDER else None
    # 3/8 OZ may be three of 8 oz, 1 3/8 OZ may not.
    return number if number in _ALONE else None


def _is_pack(pack: str, number: str, unit: str) -> bool:
    """Whether ``"12/12 OZ"`` is twelve of twelve ounces, and surely so."""
    if unit not in _MOST_IN_CARTON:
        return False  # shrimp again, and a price for several pounds or bottles
    is_carton = int(pack) > 0 and int(pack) % _CARTON == 0
    if not is_carton or not 0 < decimal.Decimal(number) <= _MOST_IN_CARTON[unit]:
        return False
    if "." in number:
        return True
    many, each = int(pack), int(number)
    if each in _UNDER and is_common_fraction(many % 10, each):
        return False  # a fraction, or as 11/2 OZ a mixed number that lacks its space
    # A range of weights, as 10/12 OZ, ascends, and not to the double.
    return many >= each or each >= 2 * many
