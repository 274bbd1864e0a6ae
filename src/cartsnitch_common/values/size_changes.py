"""Whether a package shrank, and whether that is shrinkflation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from cartsnitch_common.values.sizes import normalize_unit, parse_size

if TYPE_CHECKING:
    import decimal

    from cartsnitch_common.values.sizes import Printed, Size


# A half that was converted to another unit, or rounded in each of two, may be a little more.
_HALF: Final = Fraction(51, 100)


class SizeChange(StrEnum):
    """How a size stands to an earlier one."""

    SMALLER = "smaller"
    SAME = "same"
    """As much, or as much as the rounding of a conversion lets one know."""
    LARGER = "larger"
    INCOMPARABLE = "incomparable"


class WhyIncomparable(StrEnum):
    """Why two sizes say nothing about each other."""

    NO_SIZE = "one is no size of a known unit"
    OUNCES = "one is in ounces, the other in fluid ounces: weight and volume differ by product"
    DIMENSION = "they measure different things"
    HALF = "one is half of the other or less: another package, or a pack that was read otherwise"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeComparison:
    """Two sizes side by side.

    Attributes:
        change: How the newer one stands to the older.
        ratio: The newer size by the older, exactly; None where they are incomparable.
        reason: Why they are incomparable; None where they are not.
    """

    change: SizeChange
    ratio: Fraction | None = None
    reason: WhyIncomparable | None = None


class Verdict(StrEnum):
    """What a change of size means to whoever pays."""

    NOT_SMALLER = "not_smaller"
    """There is as much in the package as before, or more."""
    INCOMPARABLE = "incomparable"
    """The sizes say nothing about each other."""
    CHEAPER = "cheaper"
    """The package shrank and its price fell: no shrinkflation."""
    SHRUNK = "shrunk"
    """The package shrank; what became of the price is not known."""
    SHRINKFLATION = "shrinkflation"
    """The package shrank and its price did not fall."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeJudgement:
    """What a change of size and price is.

    Attributes:
        verdict: What it is.
        comparison: The sizes.
        unit_price_ratio: What one unit of size costs now by what it cost before,
            exactly: 1.2 is a fifth more. None where a price is not known or was 0.
    """

    verdict: Verdict
    comparison: SizeComparison
    unit_price_ratio: Fraction | None = None

    @property
    def is_finding(self) -> bool:
        """Whether it is shrinkflation as far as is known."""
        return self.verdict in {Verdict.SHRUNK, Verdict.SHRINKFLATION}


def compare_sizes(old: Printed, new: Printed) -> SizeComparison:
    """Compare two printed sizes across units of the same dimension.

    In one unit exactly. In two, sizes are the same where one may be the other as a
    label converts it (:meth:`Size.may_be`): 12 oz that are printed as 340 g did not
    shrink, though 340 g are less. The ratio is exact all the same.

    A liquid that is printed in ounces once and in fluid ounces another time cannot
    be compared: an ounce is a weight, and nothing says how much of it fills a
    fluid ounce.

    Nor can sizes of which one is half of the other or less. Nobody overlooks that: it
    is another package, or in one of them a pack's total was read as the size of each.
    """
    before, after = _parsed(old), _parsed(new)
    if before is None or after is None:
        return _incomparable(WhyIncomparable.NO_SIZE)
    units = {normalize_unit(old[1]), normalize_unit(new[1])}
    if not after.is_comparable_to(before):
        ounces = units == {"oz", "fl oz"}
        return _incomparable(WhyIncomparable.OUNCES if ounces else WhyIncomparable.DIMENSION)
    ratio = after.amount / before.amount
    if ratio == 1 or (len(units) > 1 and after.may_be(before)):
        return SizeComparison(change=SizeChange.SAME, ratio=ratio)
    if min(ratio, 1 / ratio) <= _HALF:
        return _incomparable(WhyIncomparable.HALF)
    change = SizeChange.SMALLER if ratio < 1 else SizeChange.LARGER
    return SizeComparison(change=change, ratio=ratio)


def judge_size_change(
    old: Printed,
    new: Printed,
    *,
    old_price: decimal.Decimal | None = None,
    new_price: decimal.Decimal | None = None,
) -> SizeJudgement:
    """Say whether a package shrank behind its price.

    Args:
        old: The size before.
        new: The size now.
        old_price: The shelf price of a package before; None where it is not known.
        new_price: The shelf price of a package now; None where it is not known.
    """
    comparison = compare_sizes(old, new)
    prices = None if old_price is None or new_price is None else (old_price, new_price)
    ratio = _unit_price_ratio(comparison, prices)
    if comparison.change is SizeChange.INCOMPARABLE:
        verdict = Verdict.INCOMPARABLE
    elif comparison.change is not SizeChange.SMALLER:
        verdict = Verdict.NOT_SMALLER
    elif prices is None:
        verdict = Verdict.SHRUNK
    else:
        verdict = Verdict.CHEAPER if prices[1] < prices[0] else Verdict.SHRINKFLATION
    return SizeJudgement(verdict=verdict, comparison=comparison, unit_price_ratio=ratio)


def _unit_price_ratio(
    comparison: SizeComparison, prices: tuple[decimal.Decimal, decimal.Decimal] | None
) -> Fraction | None:
    if comparison.ratio is None or prices is None or not prices[0]:
        return None
    return Fraction(prices[1]) / Fraction(prices[0]) / comparison.ratio


def _parsed(size: Printed) -> Size | None:
    try:
        return parse_size(*size)
    except ValueError:
        return None


def _incomparable(reason: WhyIncomparable) -> SizeComparison:
    return SizeComparison(change=SizeChange.INCOMPARABLE, reason=reason)
