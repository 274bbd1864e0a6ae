"""That a size which is only printed in another unit did not change."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cartsnitch_common.values.size_changes import SizeChange, Verdict, compare_sizes
from cartsnitch_common.values.size_changes import judge_size_change as judge
from cartsnitch_common.values.sizes import UNITS, Dimension, Printed, parse_size

CONVERTIBLE = {
    dimension: sorted(unit for unit, (one, _) in UNITS.items() if one is dimension)
    for dimension in (Dimension.WEIGHT, Dimension.VOLUME)
}
TWO_UNITS = st.sampled_from(list(CONVERTIBLE.values())).flatmap(
    lambda units: st.lists(st.sampled_from(units), min_size=2, max_size=2, unique=True)
)
# From a gram to twenty kilograms, from a millilitre to twenty litres.
AMOUNTS = st.fractions(1, 20_000, max_denominator=10_000)
PACKS = st.sampled_from(["", "6 x ", "12 x ", "24 x "])


def label(amount: Fraction, unit: str, digits: int, *, cut_off: bool = False) -> str:
    """An amount in a unit, with so many digits that count, and whole numbers in full."""
    number = amount / UNITS[unit][1]
    places = max(0, digits - 1 - math.floor(math.log10(number)))
    # As many digits as a receipt's number may have.
    assume(places <= 4 and number < 999_999)
    last = math.floor(number * 10**places + (0 if cut_off else Fraction(1, 2)))
    whole, part = divmod(last, 10**places)
    return f"{whole}.{part:0{places}}" if places else str(whole)


def both_ways(one: Printed, other: Printed) -> set[SizeChange]:
    """How each stands to the other."""
    return {compare_sizes(one, other).change, compare_sizes(other, one).change}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("2", "l"), ("67.6", "fl oz")),
        (("12", "oz"), ("340", "g")),
        (("1", "lb"), ("454", "g")),
        (("1", "lb"), ("453", "g")),
        (("16.9", "fl oz"), ("500", "ml")),
        (("1", "oz"), ("28", "g")),
        (("59", "fl oz"), ("1.75", "l")),
        (("1/2", "gal"), ("1.89", "l")),
        (("52", "fl oz"), ("1.62", "qt")),
        (("12 x 12", "fl oz"), ("12 x 355", "ml")),
        (("6 x 16.9", "fl oz"), ("3", "l")),
        (("1.5", "qt"), ("1.4", "l")),
        (("0.72", "oz"), ("20", "g")),
    ],
)
def test_a_label_in_another_unit_is_no_change(one: Printed, other: Printed) -> None:
    """What labels print beside each other is the same size, whichever of them is read first."""
    assert both_ways(one, other) == {SizeChange.SAME}
    for old, new in ((one, other), (other, one)):
        judged = judge(old, new)
        assert (judged.verdict, judged.is_finding) == (Verdict.NOT_SMALLER, False)
        assert judged.comparison.ratio == parse_size(*new).amount / parse_size(*old).amount


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (("1", "lb"), ("15.5", "oz")),
        (("1", "lb"), ("435", "g")),
        (("1/2", "gal"), ("63", "fl oz")),
        (("1", "l"), ("1", "qt")),
        (("0.5", "kg"), ("1", "lb")),
        (("2", "l"), ("1/2", "gal")),
        (("12 x 12", "fl oz"), ("12 x 330", "ml")),
        (("12 x 12", "fl oz"), ("11 x 355", "ml")),
        (("12", "oz"), ("11.9", "oz")),
        (("340", "g"), ("339", "g")),
    ],
)
def test_what_rounding_does_not_explain_is_smaller(old: Printed, new: Printed) -> None:
    """A litre is no quart that was rounded up, and in one unit nothing is converted."""
    assert both_ways(old, new) == {SizeChange.SMALLER, SizeChange.LARGER}
    assert judge(old, new).is_finding


@given(
    units=TWO_UNITS,
    amount=AMOUNTS,
    pack=PACKS,
    digits=st.tuples(st.integers(3, 5), st.integers(3, 5)),
    cut_off=st.booleans(),
)
def test_an_amount_in_any_two_units_is_the_same(
    *, units: list[str], amount: Fraction, pack: str, digits: tuple[int, int], cut_off: bool
) -> None:
    """With three digits or more, rounded or cut off, it is no change in either direction."""
    one = (pack + label(amount, units[0], digits[0]), units[0])
    other = (pack + label(amount, units[1], digits[1], cut_off=cut_off), units[1])
    assert both_ways(one, other) == {SizeChange.SAME}


@given(st.sampled_from([("g", "oz"), ("ml", "fl oz")]), st.fractions(17, 100, max_denominator=100))
def test_whole_grams_have_two_digits(units: tuple[str, str], amount: Fraction) -> None:
    """Below a hundred a label has whole grams, and half a gram is no change."""
    exact, whole = (label(amount, units[1], 3), units[1]), (label(amount, units[0], 2), units[0])
    assert both_ways(exact, whole) == {SizeChange.SAME}


@given(
    TWO_UNITS,
    st.integers(1, 9999),
    st.sampled_from(["", ".0", ".5", ".25"]),
    st.fractions("53/100", "97/100", max_denominator=1000),
    st.integers(1, 5),
)
def test_three_percent_less_is_less_in_any_unit(
    units: list[str], whole: int, part: str, left: Fraction, digits: int
) -> None:
    """However coarsely it is printed, what is 3 % smaller as printed is a finding."""
    old = (f"{whole}{part}", units[0])
    new = (label(left * parse_size(*old).amount, units[1], digits), units[1])
    left = parse_size(*new).amount / parse_size(*old).amount
    assume(Fraction("0.51") < left <= Fraction("0.97"))
    assert compare_sizes(old, new).change is SizeChange.SMALLER
    assert judge(old, new).is_finding
