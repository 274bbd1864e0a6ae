"""The size that a receipt line prints, read where it can mean one thing only.

Retailers print a pack in many ways: ``12PK 12OZ``, ``12PK/12OZ`` and ``12/12 OZ`` are
twelve of twelve ounces. What may be read in two ways is not read at all: a size that
is guessed wrong makes a package shrink that did not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

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
# Neither in a word ("B12 OZ", in whatever script) nor in the midst of a number; and whether
# the price of one unit follows, as in "1.02 LB @ 1.99".
_PRINTED: Final = re.compile(
    rf"(?<!(?u:\w))(?<![.$])(?<!\d,)(\$?{_NUMBER}(?:{_JOINT}{_NUMBER}){{0,4}})(?:\s*|-)"
    rf"(fl(?:uid)?\.?[\s-]*(?:oz|ounces?)|{_UNITS})(?!(?u:\w))(\s*@)?",
    re.IGNORECASE | re.ASCII,
)
# "2X 100 OZ" is a concentrate as well as a pack.
_TIMES: Final = re.compile(r"(\d{1,4})(?:\s+x\s+|\s*x)(\S.*)", re.IGNORECASE | re.ASCII)
_PACK_OF: Final = re.compile(rf"(\d{{1,4}})\s*/\s*({DECIMAL})", re.ASCII)
_WHOLE: Final = re.compile(r"(?:(\d{1,4}) x )?(\d{1,4})", re.ASCII)

_METRIC: Final = {"g", "kg", "ml", "l"}
_BY_WEIGHT: Final = {"lb", "kg"}
# Labels print halves, quarters and so on (21 CFR 101.7), and thirds by custom.
_UNDER: Final = {2, 3, 4, 8, 16, 32}
_UNDER_ALONE: Final = {2, 3, 4}


def find_size(text: str) -> Printed | None:
    """Find the size that a receipt line prints: ``"CEREAL 18OZ"`` has ``("18", "oz")``.

    Of several weights or volumes that are one size in two units the last counts; of
    others none does. Packs beside it make a multipack: ``"SODA 12PK 12 FL OZ"`` has
    ``("12 x 12", "fl oz")``, and so do pieces beside a volume, because a liquid comes
    in pieces only by its containers. Pieces beside a weight do not: ``"EGGS 12 CT 24
    OZ"`` has ``("24", "oz")``, since a package states what all that it holds weighs (21
    CFR 101.7). Of two counts alone none counts: ``"35CT 2PK"`` may be 35 or 70 pieces.
    """
    found: list[tuple[str, str]] = []
    for number, name, at in _PRINTED.findall(plain(text)):
        unit = name.lower()
        if at and normalize_unit(unit) in _BY_WEIGHT:
            return None  # sold loose: what was weighed is no size
        if number.strip("0.") and number[0] != "$":  # "0 G SUGAR", "$2.99 LB"
            found.append((number, unit))
    counts = [(number, name) for number, name in found if normalize_unit(name) == "ct"]
    if len(counts) == len(found):
        number = _spell(counts[0][0], "ct") if len(counts) == 1 else None
        return None if number is None else (number, "ct")
    size = _one_size([one for one in found if one not in counts])
    if size is None:
        return None
    is_liquid = UNITS[size[1]][0] is Dimension.VOLUME
    packs = [number for number, name in counts if is_liquid or name in PACKS]
    return _packed(size, packs) if packs else size


def _one_size(found: list[tuple[str, str]]) -> Printed | None:
    """The last of several sizes, where all of them are the same."""
    sizes: list[Printed] = []
    for number, name in found:
        unit = normalize_unit(name)
        spelled = _spell(number, unit)
        if spelled is None:
            return None
        sizes.append((spelled, unit))
    last = sizes[-1]
    if len(sizes) > 1:
        parsed = parse_size(*last)
        for size in sizes[:-1]:
            other = parse_size(*size)
            if not (parsed == other or (size[1] != last[1] and parsed.may_be(other))):
                return None
    return last


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
    under = int(number.partition("/")[2])
    # 3/8 OZ may be three of 8 oz, 1 3/8 OZ may not.
    return number if under in (_UNDER if " " in number else _UNDER_ALONE) else None


def _is_pack(pack: str, number: str, unit: str) -> bool:
    """Whether ``"12/12 OZ"`` is twelve of twelve ounces, and surely so."""
    if unit == "ct" or unit in _BY_WEIGHT:
        return False  # shrimp again, and a price for several pounds
    if "." in number:
        return int(pack) > 0 and number.strip("0.") != ""
    many, each = int(pack), int(number)
    if each in _UNDER and is_common_fraction(many % 10, each):
        return False  # a fraction, or as 11/2 OZ a mixed number that lacks its space
    # A range of weights, as 10/12 OZ, ascends, and not to the double.
    return many >= each > 0 or (many > 1 and each >= 2 * many)
