"""Numbers of four decimal places."""

from __future__ import annotations

import decimal
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.values.four_places import SUMS, rounded, ten_thousandths


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_what_is_divided_is_rounded_once(cents: int, thousandths: int) -> None:
    """The greatest amount and the smallest quantity too: no digit is lost before the end."""
    divided = SUMS.divide(Decimal(f"{cents}E-2"), Decimal(f"{thousandths}E-3"))
    exact = Fraction(cents, 100) / Fraction(thousandths, 1000)
    assert rounded(divided) == Decimal(f"{round(exact * 10_000)}E-4")


@pytest.mark.parametrize("share", ["0", "1", "0.5", "0.0001", "1.00000", "-0", "0E-999999", "1E-4"])
def test_a_share_is_told_in_ten_thousandths(share: str) -> None:
    """In any spelling, and under any context."""
    for context in (decimal.Context(prec=1), decimal.Context(traps=[decimal.Inexact])):
        with decimal.localcontext(context):
            assert ten_thousandths(Decimal(share)) == Fraction(share) * 10_000


@pytest.mark.parametrize(
    "share",
    [
        *map(Decimal, ("NaN", "sNaN", "Infinity", "-Infinity", "-0.0001", "1.0001", "0.00005")),
        *map(Decimal, ("1E-999999999", "1E+999999999", "0." + "3" * 50)),
        *(Decimal(2) / 3, 0.5, 1.0, True, "1", None),
    ],
)
def test_what_is_no_share_is_an_error(share: Any) -> None:
    """Never rounded, and never another error than the one that is told."""
    for traps in ([], [decimal.InvalidOperation, decimal.FloatOperation]):
        with (
            decimal.localcontext(decimal.Context(traps=traps)),
            pytest.raises(ValueError, match="must be from 0 to 1, with at most 4 decimal places"),
        ):
            ten_thousandths(share)
