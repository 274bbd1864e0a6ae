from __future__ import annotations

import decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.values.size_changes import (
    SizeChange,
    Verdict,
    WhyIncomparable,
    compare_sizes,
    judge_size_change,
)
from cartsnitch_common.values.sizes import UNITS, Printed, parse_size

D = decimal.Decimal
NUMBERS = st.one_of(
    st.integers(1, 999).map(str),
    st.decimals("0.01", "999", places=2).map(str),
    st.tuples(st.integers(1, 15), st.integers(1, 16)).map(lambda n: f"{n[0]}/{n[1]}"),
)
SIZES = st.tuples(
    st.one_of(NUMBERS, st.tuples(st.integers(2, 36), NUMBERS).map(lambda n: f"{n[0]} x {n[1]}")),
    st.sampled_from(sorted(UNITS)),
)
PRICES = st.decimals(0, 100, places=2)


@pytest.mark.parametrize(
    ("old", "new", "change", "ratio"),
    [
        (("18", "oz"), ("15.4", "oz"), SizeChange.SMALLER, Fraction(154, 180)),
        (("1", "lb"), ("16", "oz"), SizeChange.SAME, Fraction(1)),
        (("1/2", "gal"), ("59", "fl oz"), SizeChange.SMALLER, Fraction(59, 64)),
        (("12 x 12", "fl oz"), ("15 x 12", "fl oz"), SizeChange.LARGER, Fraction(5, 4)),
        (("500", "g"), ("1/2", "kg"), SizeChange.SAME, Fraction(1)),
        (("12", "ct"), ("10", "ct"), SizeChange.SMALLER, Fraction(5, 6)),
    ],
)
def test_sizes_compare_across_units(
    old: Printed, new: Printed, change: SizeChange, ratio: Fraction
) -> None:
    """What measures the same compares exactly, whatever the unit."""
    found = compare_sizes(old, new)
    assert (found.change, found.ratio, found.reason) == (change, ratio, None)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (("52", "oz"), ("46", "fl oz"), WhyIncomparable.OUNCES),
        (("46", "FL OZ"), ("52", "OZ"), WhyIncomparable.OUNCES),
        (("12", "ct"), ("24", "oz"), WhyIncomparable.DIMENSION),
        (("1", "l"), ("1", "kg"), WhyIncomparable.DIMENSION),
        (("120", "sheets"), ("100", "ct"), WhyIncomparable.NO_SIZE),
        (("12", "oz"), ("", "oz"), WhyIncomparable.NO_SIZE),
        (("8 x 12", "oz"), ("12", "oz"), WhyIncomparable.HALF),
        (("12", "oz"), ("8 x 12", "oz"), WhyIncomparable.HALF),
        (("4 x 16", "oz"), ("4 x 4", "oz"), WhyIncomparable.HALF),
        (("18 x 18", "oz"), ("18", "oz"), WhyIncomparable.HALF),
        (("32", "oz"), ("2", "oz"), WhyIncomparable.HALF),
        (("10 x 60", "fl oz"), ("10 x 6", "fl oz"), WhyIncomparable.HALF),
        (("8 x 12", "oz"), ("11", "oz"), WhyIncomparable.HALF),
        (("8.9", "oz"), ("1.48", "oz"), WhyIncomparable.HALF),
        (("1", "lb"), ("227", "g"), WhyIncomparable.HALF),
    ],
)
def test_what_cannot_be_compared_is_said(
    old: Printed, new: Printed, reason: WhyIncomparable
) -> None:
    """Ounces against fluid ounces, a pack against one of it, unknown units: no guess, a reason."""
    found = compare_sizes(old, new)
    assert (found.change, found.ratio, found.reason) == (SizeChange.INCOMPARABLE, None, reason)
    judged = judge_size_change(old, new, old_price=D(5), new_price=D(5))
    assert (judged.verdict, judged.is_finding) == (Verdict.INCOMPARABLE, False)


@given(SIZES, SIZES)
def test_a_comparison_turns_round(old: Printed, new: Printed) -> None:
    """What is smaller one way is larger the other, by the inverse ratio."""
    there, back = compare_sizes(old, new), compare_sizes(new, old)
    if there.ratio is None:
        assert there == back
        return
    assert back.ratio == 1 / there.ratio
    assert (there.change is SizeChange.SMALLER) == (back.change is SizeChange.LARGER)
    assert there.ratio == parse_size(*new).amount / parse_size(*old).amount


@pytest.mark.parametrize(
    ("old_price", "new_price", "verdict"),
    [
        (D("4.79"), D("4.79"), Verdict.SHRINKFLATION),
        (D("4.79"), D("4.99"), Verdict.SHRINKFLATION),
        (D("4.79"), D("4.78"), Verdict.CHEAPER),
        (None, D("4.79"), Verdict.SHRUNK),
        (D("4.79"), None, Verdict.SHRUNK),
    ],
)
def test_a_price_that_fell_is_no_shrinkflation(
    old_price: D | None, new_price: D | None, verdict: Verdict
) -> None:
    """A smaller package at the old price or more is a finding; a cheaper one is none."""
    judged = judge_size_change(
        ("18", "oz"), ("15.4", "oz"), old_price=old_price, new_price=new_price
    )
    assert judged.verdict is verdict
    assert judged.is_finding == (verdict is not Verdict.CHEAPER)


def test_the_unit_price_is_exact() -> None:
    """A tenth less at the same price costs a ninth more by the ounce."""
    judged = judge_size_change(("10", "oz"), ("9", "oz"), old_price=D(3), new_price=D("3.00"))
    assert judged.unit_price_ratio == Fraction(10, 9)
    free = judge_size_change(("10", "oz"), ("9", "oz"), old_price=D(0), new_price=D(1))
    assert (free.verdict, free.unit_price_ratio) == (Verdict.SHRINKFLATION, None)


@given(SIZES, SIZES, PRICES, PRICES)
def test_only_a_smaller_package_is_a_finding(
    old: Printed, new: Printed, old_price: D, new_price: D
) -> None:
    """A finding is smaller, costs no less, and therefore costs more by its unit."""
    judged = judge_size_change(old, new, old_price=old_price, new_price=new_price)
    if judged.is_finding:
        assert judged.comparison.change is SizeChange.SMALLER
        assert new_price >= old_price
        assert judged.unit_price_ratio is None or judged.unit_price_ratio > 1
