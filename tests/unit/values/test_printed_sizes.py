from __future__ import annotations

import itertools
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch_common.constants import MAX_LENGTH
from cartsnitch_common.values.printed_sizes import HAS_NUMBER, find_size
from cartsnitch_common.values.sizes import ALIASES, UNITS, VULGAR, normalize_unit, parse_size

SPELLINGS = sorted({*UNITS, *ALIASES, "fl. oz.", "fl  oz", "Fluid Ounces"})
# What receipts are made of, and what stands between it.
PIECES = st.sampled_from(
    [
        *("0", "1", "2", "3", "8", "11", "12", "24", "16.9", ".5", "1/2", "½", "1\u20442"),
        *("OZ", "oz", "FLOZ", "GAL", "L", "G", "CT", "PK", "PACK", "LB", "COKE", "$", "V8"),
    ]
)
BETWEEN = st.sampled_from(["", "", " ", "  ", "/", "-", " x ", "x", " - ", "\u00d7", ","])
LINES = st.lists(st.tuples(PIECES, BETWEEN), max_size=9).map(
    lambda pairs: "".join(itertools.chain.from_iterable(pairs))
)


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
        ("SAFFRON 4G", ("4", "g")),
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
        ("JUICE 64  OZ", ("64", "oz")),
        ("COKE ZERO-2 L", ("2", "l")),
        ("V8 12OZ", ("12", "oz")),
        ("CANDY 12OZ 0 G TRANS FAT", ("12", "oz")),
        ("RAW SHRIMP 31/40 CT 2LB", ("2", "lb")),
        ("SODA 12PK 5.99 12 FL OZ", ("12 x 12", "fl oz")),
    ],
)
def test_the_size_on_a_receipt_line_is_found(line: str, found: tuple[str, str] | None) -> None:
    """A printed size is found with its unit; a line without one has none."""
    assert find_size(line) == found


@pytest.mark.parametrize(
    "pack",
    [
        *("12PK 12OZ", "12 PACK 12 OZ", "12-PACK 12 OZ", "12-PK 12-OZ", "12PK/12OZ"),
        *("12OZ/12PK", "12OZ 12PK", "12 OZ - 12 PK", "12/12 OZ", "12 / 12OZ", "12 X 12OZ"),
        *("12x12 oz", "12 \u00d7 12\u00a0OZ", "12PK 12 X 12 OZ"),
    ],
)
def test_a_pack_is_one_however_it_is_printed(pack: str) -> None:
    """Twelve of twelve ounces are found as that in every way in which receipts print it."""
    assert find_size(f"COLA {pack}") == ("12 x 12", "oz")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("YOGURT 6/4OZ", ("6 x 4", "oz")),
        ("STOUT 6/12 OZ BTL", ("6 x 12", "oz")),
        ("WATER 24/16.9OZ", ("24 x 16.9", "oz")),
        ("WATER 24/500ML", ("24 x 500", "ml")),
        ("BASIL 3/4 OZ", ("3/4", "oz")),
        ("SOUP 10 3/8 OZ", ("10 3/8", "oz")),
    ],
)
def test_a_slash_makes_a_pack_or_a_fraction(line: str, found: tuple[str, str]) -> None:
    """Two numbers and a slash are a pack where they can be no fraction, and the other way round."""
    assert find_size(line) == found


@pytest.mark.parametrize(
    "line",
    [
        # 35 pieces or 70
        *("GUM 35CT 2PK", "GUM 35CT/2PK", "WIPES 3PK 168CT"),
        # a range
        *("TURKEY 10-14 LB", "TURKEY 10 TO 14 LB", "SALMON 6/8 OZ", "STEAK 10 - 12 OZ"),
        # how many there are to the pound, or rolls of paper that last like more
        *("RAW SHRIMP 31/40 CT", "SHRIMP 1/2 CT", "TISSUE 12=24CT"),
        # three cans or three eighths, eleven packs or one and a half
        *("TOM SCE 3/8 OZ", "SODA 3/16OZ", "ROLL 11/2 OZ", "ROLL 11\u20442 OZ"),
        # a price
        *("APPLES 2/5 LB", "APPLES 2/3.00 LB", "APPLES $2-3 LB", "BEEF $2.99 LB"),
        # how much was weighed at the till
        *("BANANAS 2.31 LB @ 0.59/LB", "GRAPES 1.02LB @1.99"),
        # a concentrate or a pack, and bottles of half a litre
        *("SOFTENER 2X 100 OZ", "WATER 24 1/2 L"),
        # two sizes, of which none says that it is the package's
        *("BAR 2.1OZ 20G PROTEIN", "HAM 2 LB 8 OZ", "SODA 12OZ 16OZ", "SHAKE 30G 11 FL OZ"),
        # two packs
        *("SODA 2PK 12PK 12OZ", "SODA 24PK 12 X 12OZ", "SODA 2 X 12 X 12OZ", "SODA 1.5PK 12OZ"),
        # too many digits or numbers, none above zero
        *("COTTON 1,000CT", "SODA 1/2/3 OZ", "SODA 0/12 OZ", "SODA 0 X 12OZ", "SODA 2/0.0 OZ"),
        # words that begin like a unit, also in other letters
        *("PIE 4 GATEAUX", "PIE 4 Gâteaux", "PIE 4 G\u0302", "12OZ2"),
    ],
)
def test_what_may_mean_several_sizes_is_none(line: str) -> None:
    """A line that can be read in two ways prints no size: it is never guessed."""
    assert find_size(line) is None


def test_a_size_that_is_printed_twice_is_found() -> None:
    """A size and the same in another unit are one, as far as rounding can tell."""
    assert find_size("CEREAL 12 OZ (340 G)") == ("340", "g")
    assert find_size("COLA 2 L 67.6 FL OZ") == ("67.6", "fl oz")
    assert find_size("COLA 12 X 12 FL OZ 144 FL OZ") == ("144", "fl oz")
    assert find_size("CEREAL 12 OZ (320 G)") is None


@pytest.mark.parametrize("fraction", VULGAR)
def test_a_fraction_of_one_character_is_found(fraction: str) -> None:
    """Alone and behind a whole number; in NFKC too, unless that made one number of two."""
    over, under = unicodedata.normalize("NFKC", fraction).split("\N{FRACTION SLASH}")
    part = f"{over}/{under}"
    assert find_size(f"MILK {fraction}GAL") == (part, "gal")
    assert find_size(f"MILK {fraction} GAL") == (part, "gal")
    assert find_size(unicodedata.normalize("NFKC", f"MILK {fraction} GAL")) == (part, "gal")
    for mixed in (f"1{fraction}", f"1 {fraction}", f"1-{fraction}"):
        assert find_size(f"HAM {mixed} LB") == (f"1 {part}", "lb")
    assert find_size(unicodedata.normalize("NFKC", f"HAM 1{fraction} LB")) is None


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_unit_is_found_in_each_spelling(spelling: str) -> None:
    """Spelled out or short, in any case, with spaces, a hyphen or nothing before it."""
    unit = normalize_unit(spelling)
    assert unit in UNITS
    for name, between in itertools.product(
        (spelling, spelling.upper(), spelling.title()), ("", " ", "   ", "-")
    ):
        assert find_size(f"THING 7.5{between}{name}") == ("7.5", unit)
        assert find_size(f"THING 7.5{between}{name.rstrip('.')}Y") is None


@given(LINES)
def test_what_is_found_can_be_carried_and_compared(line: str) -> None:
    """A found size is above zero, fits its message, and needs a number in the text."""
    found = find_size(line)
    if found is not None:
        assert parse_size(*found).amount > 0
        assert found[1] in UNITS
        assert len(found[0]) <= MAX_LENGTH["ProductSize.size"]
        assert re.search(HAS_NUMBER, line)
        assert find_size(" ".join(found)) in {found, None}


def test_the_longest_size_fits_the_contract() -> None:
    """No receipt line has a size that its message cannot carry."""
    found = find_size("X 9999 x 9999PK 999999.9999 OZ")
    assert found == ("99980001 x 999999.9999", "oz")
    assert len(found[0]) <= MAX_LENGTH["ProductSize.size"]
    assert find_size("X 9999 X 999 99/32 OZ") is None
