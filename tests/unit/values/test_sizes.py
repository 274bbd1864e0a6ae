from __future__ import annotations

from fractions import Fraction

import pytest

from cartsnitch_common.values.sizes import Dimension, find_size, parse_size


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
        (("2 x 1 1/2", "qt"), ("3", "qt")),
        (("12 x 1/2", "l"), ("6", "l")),
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
        ("big", "oz"),
        ("", "oz"),
        ("1", "sheets"),
        ("-1", "oz"),
    ],
)
def test_what_is_no_size_is_refused(size: str, unit: str) -> None:
    """Zero, text and unknown units raise."""
    with pytest.raises(ValueError, match=r"size|zero"):
        parse_size(size, unit)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("HRVST TBL HONEY OAT 15.4OZ", ("15.4", "oz")),
        ("SUN ACRE OJ NO PULP 52FLOZ", ("52", "fl oz")),
        ("NP LIME SPARKLING 12PK 12 FL OZ", ("12 x 12", "fl oz")),
        ("WATER 12 x 12 FL OZ", ("12 x 12", "fl oz")),
        ("LKSD LG EGGS 12CT", ("12", "ct")),
        ("BUTTER 1/2 LB", ("1/2", "lb")),
        ("BANANAS", None),
        ("2% MILK", None),
        ("4G PHONE CARD", ("4", "g")),
        ("LG EGGS 12 CT 24 OZ", ("24", "oz")),
        ("GRANOLA BARS 6CT 8.9OZ", ("8.9", "oz")),
        ("CANDY 6PK 9 OZ", ("6 x 9", "oz")),
        ("TUNA 4 PACK 5 OZ", ("4 x 5", "oz")),
        ("SPRING WATER 24CT 16.9FLOZ", ("24 x 16.9", "fl oz")),
        ("SODA 2 x 12PK 12 FL OZ", ("24 x 12", "fl oz")),
        ("SODA 1/2 x 12PK 12 FL OZ", None),
        ("GRND BEEF 1 1/2 LB", ("1 1/2", "lb")),
        ("2% MILK 1/2 GAL", ("1/2", "gal")),
        ("CREAM 1 / 2 PT", ("1/2", "pt")),
        ("X 111 1111 / 1111 X 111 1111 / 1111 OZ", ("111 1111/1111 x 111 1111/1111", "oz")),
    ],
)
def test_the_size_on_a_receipt_line_is_found(line: str, found: tuple[str, str] | None) -> None:
    """A printed size is found with its unit; a line without one has none."""
    assert find_size(line) == found
