from __future__ import annotations

from fractions import Fraction

import pytest

from cartsnitch_common.values.sizes import Dimension, parse_size


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("1", "lb"), ("16", "oz")),
        (("1/2", "lb"), ("8", "oz")),
        (("1", "kg"), ("1000", "g")),
        (("1", "gal"), ("128", "fl oz")),
        (("1", "gal"), ("4", "qt")),
        (("1", "qt"), ("2", "pt")),
        (("2", "l"), ("2000", "ml")),
        (("12 x 12", "fl oz"), ("144", "fl. oz.")),
        (("12x12", "FL OZ"), ("144", "floz")),
        (("6", "pk"), ("6", "ct")),
        (("1 1/2", "lb"), ("24", "oz")),
        (("1-1/2", "pounds"), ("24", "ounces")),
        (("2 x 1 1/2", "qt"), ("3", "qt")),
        (("12 x 1/2", "l"), ("6", "l")),
        (("1½", "LITRES"), ("1500", "millilitres")),
        (("12 \u00d7 12", "Fluid Ounces"), ("144", "fl.oz")),
        (("1\u20442", "gallon"), ("2", "Quarts")),
    ],
)
def test_equal_sizes_are_equal(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Units convert exactly, whatever the spelling, fraction or multipack."""
    assert parse_size(*one) == parse_size(*other)


def test_a_pound_is_exact() -> None:
    """Factors are the legal definitions, not rounded ones."""
    assert parse_size("1", "lb").amount == Fraction("453.59237")
    assert parse_size("1", "gal").amount == Fraction("3785.411784")


def test_weight_and_volume_do_not_compare() -> None:
    """Ounces and fluid ounces are said to be incomparable, not guessed."""
    assert not parse_size("12", "oz").is_comparable_to(parse_size("12", "fl oz"))
    assert parse_size("12", "oz").dimension is Dimension.WEIGHT


@pytest.mark.parametrize(
    ("size", "unit"),
    [
        ("0", "oz"),
        ("1/0", "lb"),
        ("1 1/0", "lb"),
        ("1 1", "lb"),
        ("12/12", "oz"),
        ("6/12", "oz"),
        ("1 3/2", "lb"),
        ("2 x 2 x 2", "oz"),
        ("big", "oz"),
        ("", "oz"),
        ("1", "sheets"),
        ("-1", "oz"),
    ],
)
def test_what_is_no_size_is_refused(size: str, unit: str) -> None:
    """Zero, text, unknown units and what is no fraction of a label raise."""
    with pytest.raises(ValueError, match=r"size|zero"):
        parse_size(size, unit)
