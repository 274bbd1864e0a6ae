from __future__ import annotations

import subprocess
import sys

import pytest
from biip import EncodeError
from biip.checksums import gs1_standard_check_digit
from biip.gtin import Gtin
from biip.upc import Upc
from hypothesis import assume, example, given
from hypothesis import strategies as st

from cartsnitch_common.values.gtin import CodeKind, code_spellings, parse_code

DIGITS = st.text("0123456789", min_size=13, max_size=13)


def with_check_digit(payload: str) -> str:
    return f"{payload}{gs1_standard_check_digit(payload)}"


@pytest.mark.parametrize(
    ("printed", "digits"),
    [
        # 3*(0+6+0+2+1+5) + (3+0+0+9+4) = 42 + 16 = 58; 60 - 58 = 2.
        ("036000291452", "00036000291452"),
        # 3*(2+1+4+5+0+1) + (6+9+0+1+0+2) = 39 + 18 = 57; 60 - 57 = 3.
        ("6291041500213", "06291041500213"),
        # 3*(9+3+5+7) + (6+8+0) = 72 + 14 = 86; 90 - 86 = 4.
        ("96385074", "00000096385074"),
        # UPC-E 0 425261 4: ends in 1, so 0 42 1 0000 526, and 4 is the check digit of that.
        ("04252614", "00042100005264"),
        # A case of 036000291452: 3*(1+0+6+0+2+1+5) + (0+3+0+0+9+4) = 45 + 16 = 61; 70 - 61 = 9.
        ("10036000291459", "10036000291459"),
    ],
)
def test_a_gtin_is_read_in_every_form(printed: str, digits: str) -> None:
    """UPC-A, EAN-13, EAN-8, UPC-E and GTIN-14, with check digits computed by hand."""
    code = parse_code(printed)
    assert (code.kind, code.digits) == (CodeKind.GTIN, digits)


@given(DIGITS)
@example("0004210000526")
@example("0000000000000")
@example("0000000004011")
@example("0000000000401")
def test_every_spelling_means_the_same_code(payload: str) -> None:
    """Whatever spelling is stored and whatever is scanned, the two are equal; none is another's."""
    code = parse_code(with_check_digit(payload))
    assert code.spellings
    for spelling in code.spellings:
        assert parse_code(spelling) == code
        assert code_spellings(spelling) == code.spellings


@given(DIGITS)
def test_a_gtin_is_what_biip_reads(payload: str) -> None:
    """The digits and the kind are those of the library that follows GS1."""
    text = with_check_digit(payload)
    code = parse_code(text)
    assume(code.kind is not CodeKind.PLU)
    gtin = Gtin.parse(text)
    assert code.digits == gtin.as_gtin_14()
    assert (code.kind is CodeKind.GTIN) == (type(gtin) is Gtin)


def test_every_prefix_is_of_the_kind_that_biip_says() -> None:
    """What GS1 gives to nobody is told apart under all 1,000 prefixes, long and short."""
    for prefix in range(1000):
        for payload in (f"{prefix:03}123456789", f"{prefix:03}1234"):
            text = with_check_digit(payload)
            if len(text) == 8 and text[0] == "0":
                text = text.zfill(12)  # with 8 digits it may be a UPC-E
            code, gtin = parse_code(text), Gtin.parse(text)
            assert code.digits == gtin.as_gtin_14()
            assert (code.kind is CodeKind.GTIN) == (type(gtin) is Gtin), text


def test_common_codes_need_no_table_of_prefixes() -> None:
    """The first look-up of a service does not wait until biip is loaded."""
    program = """
import sys
from cartsnitch_common.values.gtin import code_spellings
code_spellings("036000291452"), code_spellings("0001111041700"), code_spellings("4011")
assert "biip" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@given(st.text("0123456789", min_size=6, max_size=6))
def test_a_upc_e_is_the_upc_a_it_stands_for(payload: str) -> None:
    """Zeros that were left out come back, and the one right short form is found from the long."""
    upc = Upc.parse(payload)
    short = f"{upc.payload}{upc.check_digit}"
    code = parse_code(short)
    assert code.digits == upc.as_upc_a().zfill(14)
    try:
        shortest = Upc.parse(upc.as_upc_a()).as_upc_e()
    except EncodeError:  # a sequence that no UPC-A is shortened to
        return
    assert shortest in code.spellings


@given(DIGITS, st.integers(0, 13), st.integers(1, 9))
def test_one_wrong_digit_is_noticed(payload: str, place: int, change: int) -> None:
    """The weights 3 and 1 find every single wrong digit; the error names the check digit."""
    text = with_check_digit(payload)
    wrong = f"{text[:place]}{(int(text[place]) + change) % 10}{text[place + 1 :]}"
    assume(len(wrong.lstrip("0")) > 5)  # less may be a PLU code, which has no check digit
    with pytest.raises(ValueError, match="wrong check digit"):
        parse_code(wrong)


@pytest.mark.parametrize(
    ("printed", "digits"),
    [
        ("4011", "4011"),
        ("04011", "4011"),
        ("94011", "94011"),
        ("01234", "01234"),
        ("83999", "83999"),
        ("1234", "1234"),  # a retailer's own
        ("0000000004011", "4011"),
        ("000000094011", "94011"),
    ],
)
def test_a_plu_code_is_kept_apart(printed: str, digits: str) -> None:
    """Four or five digits are no GTIN, also with the zeros that some retailers print before."""
    code = parse_code(printed)
    assert (code.kind, code.digits) == (CodeKind.PLU, digits)
    assert digits in code.spellings
    assert not any(len(spelling) == 8 for spelling in code.spellings)


@pytest.mark.parametrize(
    "printed",
    [
        with_check_digit("21234500499"),  # a scale's label in the United States
        with_check_digit("021234500499"),
        with_check_digit("41234567890"),  # a chain's own
        with_check_digit("291234500499"),
        with_check_digit("2123456"),
    ],
)
def test_a_stores_own_number_is_no_gtin(printed: str) -> None:
    """Numbers of restricted circulation, with prices in them or not, are said to be such."""
    assert parse_code(printed).kind is CodeKind.RESTRICTED


def test_a_missing_check_digit_is_added_where_it_is_known_to_miss() -> None:
    """Only whoever knows the retailer says so; the number then is that of every other retailer."""
    full = parse_code("011110417008")
    for printed in ("01111041700", "001111041700", "0001111041700"):
        assert parse_code(printed, has_check_digit=False) == full
        spellings = code_spellings(printed, has_check_digit=False)
        assert {printed.zfill(13), *full.spellings} <= {*spellings}
    with pytest.raises(ValueError, match="wrong check digit"):
        parse_code("0001111041700")
    assert parse_code("0000000004011", has_check_digit=False) == parse_code("4011")


@given(st.text("0123456789", min_size=11, max_size=13))
def test_what_looks_like_anothers_gtin_is_not_looked_for(printed: str) -> None:
    """Of a code without check digit no spelling is another code's."""
    meant = parse_code(printed, has_check_digit=False)
    for spelling in code_spellings(printed, has_check_digit=False):
        try:
            read = parse_code(spelling)
        except ValueError:
            continue
        assert read == meant


@given(st.one_of(*(st.text("0123456789", min_size=n, max_size=n) for n in (8, 12, 13, 14))))
@example("00004011")
@example("04252613")
def test_a_wrong_code_has_only_wrong_spellings(printed: str) -> None:
    """A code with a wrong check digit can be looked for, and finds no trade item's."""
    try:
        parse_code(printed)
    except ValueError:
        spellings = code_spellings(printed)
        assert printed in spellings
        for spelling in spellings:
            with pytest.raises(ValueError, match="check digit"):
                parse_code(spelling)


@pytest.mark.parametrize(
    "text",
    ["", "123", "123456", "1234567", "12345678901", "036000291452 ", "\u066036000291452", "x"],
)
def test_what_is_no_code_is_refused(text: str) -> None:
    """Other lengths, spaces and digits of other scripts are none."""
    with pytest.raises(ValueError, match="must be a PLU code"):
        parse_code(text)
    with pytest.raises(ValueError, match="must be a PLU code"):
        code_spellings(text)


def test_digits_without_a_check_digit_are_11_to_13() -> None:
    """Fourteen digits have their check digit, and eight are a short form."""
    for text in ("00036000291452", "04252614"):
        with pytest.raises(ValueError, match="without check digit"):
            parse_code(text, has_check_digit=False)
