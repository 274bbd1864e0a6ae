from __future__ import annotations

import decimal
import tracemalloc
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.values.numbers import (
    decimal_to_text,
    fit,
    money_from_parts,
    money_to_parts,
    text_to_decimal,
)

D = decimal.Decimal


@given(st.decimals(-(10**10) + 1, 10**10 - 1, places=9))
def test_money_survives_its_parts(amount: decimal.Decimal) -> None:
    """Every amount to the ninth decimal place comes back as it was."""
    units, nanos = money_to_parts(amount)
    assert money_from_parts(units, nanos) == amount
    assert units * nanos >= 0


@pytest.mark.parametrize(
    ("amount", "parts"),
    [
        (D("3.49"), (3, 490_000_000)),
        (D("-0.65"), (0, -650_000_000)),
        (D("-12.99"), (-12, -990_000_000)),
        (D("0.000000001"), (0, 1)),
        (D("-0"), (0, 0)),
        (5, (5, 0)),
    ],
)
def test_money_parts_carry_one_sign(amount: decimal.Decimal, parts: tuple[int, int]) -> None:
    """Units and nanos are both of the amount's sign."""
    assert money_to_parts(amount) == parts


@pytest.mark.parametrize("value", [3.49, float("nan"), "3.49", None, True])
def test_only_exact_numbers_are_money(value: object) -> None:
    """A price given as a float raises; it is never rounded."""
    with pytest.raises(TypeError, match="must be a Decimal or an int"):
        money_to_parts(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("amount", [D("NaN"), D("Infinity"), D("0.0000000001"), D(1.1)])
def test_what_money_cannot_carry_is_refused(amount: decimal.Decimal) -> None:
    """No number and more than nine decimal places are errors."""
    with pytest.raises(ValueError, match=r"finite|nine decimal"):
        money_to_parts(amount)


@pytest.mark.parametrize("parts", [(1, -1), (-1, 1), (0, 10**9), (0, -(10**9))])
def test_parts_that_contradict_each_other_are_refused(parts: tuple[int, int]) -> None:
    """Mixed signs and a nanos of a unit or more have no amount."""
    with pytest.raises(ValueError, match="same sign"):
        money_from_parts(*parts)


def test_an_amount_shows_its_cents() -> None:
    """Dollars have two decimal places, more only where they are needed."""
    assert str(money_from_parts(3, 500_000_000)) == "3.50"
    assert str(money_from_parts(3, 333_300_000)) == "3.3333"
    assert str(money_from_parts(100, 0)) == "100.00"


@given(st.decimals(-(10**18) + 1, 10**18 - 1, places=9))
def test_a_decimal_survives_its_text(number: decimal.Decimal) -> None:
    """Plain notation carries every number to the ninth place."""
    text = decimal_to_text(number)
    assert text_to_decimal(text) == number
    assert "E" not in text
    assert text != "-0"


@pytest.mark.parametrize("text", ["", "1e3", "+1", "1_000", "01", ".5", "1.", "NaN", "٣", " 1"])
def test_other_notations_are_refused(text: str) -> None:
    """Exponents, signs, grouping and other digits are no decimal of the contract."""
    with pytest.raises(ValueError, match="plain notation"):
        text_to_decimal(text)


def test_fit_gives_the_scale_of_the_column() -> None:
    """A number gets a column's scale exactly, or is refused."""
    assert str(fit(D("1.5"), precision=12, scale=2)) == "1.50"
    assert str(fit(D("-9999999999.99"), precision=12, scale=2)) == "-9999999999.99"
    with pytest.raises(ValueError, match="2 decimal places"):
        fit(D("1.505"), precision=12, scale=2)
    with pytest.raises(ValueError, match="10 digits"):
        fit(D(10**10), precision=12, scale=2)
    with pytest.raises(ValueError, match="finite"):
        fit(D("NaN"), precision=12, scale=2)


@pytest.mark.parametrize(
    "number",
    [D("1E+999999"), D("-1E+999999"), D("1E+19"), 10**400, 2**63],
    ids=lambda one: f"{D(one):.1e}",
)
def test_a_number_of_any_size_is_refused_at_once(number: decimal.Decimal | int) -> None:
    """What is too great is told so, whatever its exponent; it is never written out."""
    with pytest.raises(ValueError, match="more units than 64 bits hold"):
        money_to_parts(number)
    with pytest.raises(ValueError, match="more than 18 digits"):
        decimal_to_text(number)
    with pytest.raises(ValueError, match="10 digits before the point"):
        fit(D(number), precision=12, scale=2)


def test_a_huge_exponent_takes_no_memory() -> None:
    """A gigabyte of zeros would be written for it."""
    tracemalloc.start()
    for number in (D("1E+999999999"), D("-1E-999999999")):
        for convert in (money_to_parts, decimal_to_text, partial(fit, precision=12, scale=2)):
            with pytest.raises(ValueError, match=r"digits|decimal places|64 bits"):
                convert(number)
    for zero in (D("0E+999999999"), D("-0E-999999999")):
        assert money_to_parts(zero) == (0, 0)
        assert decimal_to_text(zero) == "0"
        assert str(fit(zero, precision=12, scale=2)) == "0.00"
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()


def test_the_greatest_numbers_are_carried() -> None:
    """What is refused begins right behind them."""
    assert money_to_parts(2**63 - 1) == (2**63 - 1, 0)
    assert money_to_parts(D(f"-{2**63 - 1}.999999999")) == (-(2**63) + 1, -999_999_999)
    assert decimal_to_text(D("-999999999999999999.999999999")) == "-999999999999999999.999999999"
    assert str(fit(D("0.9999"), precision=4, scale=4)) == "0.9999"
    with pytest.raises(ValueError, match="0 digits before the point"):
        fit(D(1), precision=4, scale=4)


def test_many_digits_behind_the_point_are_refused() -> None:
    """More than the arithmetic has room for is one error with the rest."""
    with pytest.raises(ValueError, match="2 decimal places"):
        fit(D("1." + "0" * 50 + "1"), precision=12, scale=2)


@pytest.mark.parametrize(
    "context",
    [
        decimal.Context(prec=1, rounding=decimal.ROUND_UP),
        decimal.Context(prec=5, traps=list(decimal.Context().flags)),
        decimal.Context(Emin=-1, Emax=1, clamp=1),
    ],
    ids=["few digits", "every trap", "small exponents"],
)
def test_the_threads_context_changes_nothing(context: decimal.Context) -> None:
    """Precision, rounding and traps are the program's own; what is exact here stays so."""
    with decimal.localcontext(context):
        assert money_to_parts(D("-9999999999.9999")) == (-9_999_999_999, -999_900_000)
        assert str(money_from_parts(-9_999_999_999, -999_900_000)) == "-9999999999.9999"
        assert str(money_from_parts(9_999_999_999, 990_000_000)) == "9999999999.99"
        assert decimal_to_text(D("12345678.90")) == "12345678.9"
        assert (
            str(text_to_decimal("999999999999999999.999999999")) == "999999999999999999.999999999"
        )
        assert str(fit(D("-9999999999.9900"), precision=12, scale=2)) == "-9999999999.99"
        with pytest.raises(ValueError, match="2 decimal places"):
            fit(D("1.505"), precision=12, scale=2)
