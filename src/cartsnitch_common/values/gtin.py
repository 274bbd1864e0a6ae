"""Product codes as retailers print and scan them: GTINs and PLU codes.

A GTIN has several spellings: as UPC-A (12 digits), EAN-13, EAN-8, GTIN-14, and
UPC-E (8 digits, zeros left out). Leading zeros change nothing, so the 14 digits
with zeros in front are what spellings of one GTIN have in common. A PLU code, the
4 or 5 digits on loose produce, is never a GTIN, however many zeros stand before it.

Sources: GS1 General Specifications, section 7.9 (check digits), 5.2.2.4 (UPC-E)
and 2.1.11 to 2.1.12 (restricted circulation numbers); the PLU codes' ranges are
those of the International Federation for Produce Standards.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator


class CodeKind(StrEnum):
    """What a product code identifies."""

    GTIN = "gtin"
    """One trade item, anywhere in the world."""
    RESTRICTED = "restricted"
    """What the store or the chain that printed it says: GS1 gives the number to nobody.

    The codes that scales print are of this kind, with a price or a weight in some
    of the digits. In which is each chain's own rule, so nothing is read out of
    them, and two prices of one item are two codes.
    """
    PLU = "plu"
    """A kind of loose produce."""


_FORMAT: Final = re.compile(r"[0-9]{4,5}|[0-9]{8}|[0-9]{12,14}", re.ASCII)
_WITHOUT_CHECK_DIGIT: Final = re.compile(r"[0-9]{4,5}|[0-9]{11,13}", re.ASCII)
_PLU_LENGTHS: Final = (4, 5)
_PADDED_LENGTHS: Final = (12, 13, 14)
_BARE_UPC_A_LENGTH: Final = 11  # without its check digit
_SHORT: Final = 8
_CANONICAL: Final = 14

# Of 13 digits those that begin with 02, 04 or 2, and of 8 those that begin with 0 or 2.
_RESTRICTED: Final = re.compile(r"0(?:02|04|2)|000000[02]", re.ASCII)
_PRODUCE: Final = (
    range(3000, 5000),
    range(83000, 85000),
    range(93000, 95000),  # organically grown
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductCode:
    """A code with its check digit proven. Codes that mean the same are equal.

    Attributes:
        kind: What the code identifies.
        digits: 14 digits, the last of them the check digit; of a PLU code its 4 or 5.
    """

    kind: CodeKind
    digits: str

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every spelling that means this code, ascending as text.

        Each has 8 or 12 to 14 digits, or the 4 or 5 of a PLU code.
        """
        if self.kind is CodeKind.PLU:
            if not _is_produce(self.digits):
                return (self.digits,)
            longest = self.digits.zfill(max(_PLU_LENGTHS))
            return tuple(sorted({self.digits, longest, *_padded(self.digits)}))
        found = {self.digits, *_padded(self.digits)}
        # What has 8 digits may mean something else: only what reads back counts.
        found.update(short for short in _short_forms(self.digits) if _reads_as(short, self))
        return tuple(sorted(found))


def parse_code(text: str, *, has_check_digit: bool = True) -> ProductCode:
    """Read a code as it is printed or scanned.

    Eight digits that begin with 0 are a UPC-E where its check digit fits, because
    that is what a register in the United States scans, and a store's own number
    otherwise. Twelve to fourteen digits that are all zeros before a PLU code of
    fresh produce are that PLU code: some retailers print it so, and no GTIN begins so.

    Args:
        text: Digits only, as the contract carries them: 4 or 5, 8, or 12 to 14.
        has_check_digit: False for a retailer that is known to print GTINs without
            the last digit, in 11 to 13 digits. This is never guessed: one code in
            ten that lacks its check digit looks as if it had one.

    Raises:
        ValueError: The text is no such code, or its check digit is wrong.
        MissingExtraError: It may be a UPC-E, and ``biip`` is not installed.
    """
    _require_format(text, has_check_digit=has_check_digit)
    significant = text.lstrip("0")
    if len(text) in _PLU_LENGTHS:
        digits = significant if _is_produce(significant) else text
        return ProductCode(kind=CodeKind.PLU, digits=digits)
    if len(text) > _SHORT and _is_produce(significant):
        return ProductCode(kind=CodeKind.PLU, digits=significant)
    return _parse_gtin(text if has_check_digit else text + _check_digit(text))


def code_spellings(text: str, *, has_check_digit: bool = True) -> tuple[str, ...]:
    """Every spelling under which a code may be stored, ascending as text.

    A code whose check digit is wrong has spellings too: retailers print such
    codes and sell by them. They are the text itself with more or fewer leading
    zeros, none of which is the code of a trade item.

    Args:
        text: A code, as :func:`parse_code` takes it.
        has_check_digit: As there. The text as it is printed counts beside the
            GTIN, unless it would be the code of something else.

    Raises:
        ValueError: The text is no code.
    """
    _require_format(text, has_check_digit=has_check_digit)
    found: set[str] = set()
    if not has_check_digit:
        found.update(parse_code(text, has_check_digit=False).spellings)
        text = text.zfill(12) if len(text) == _BARE_UPC_A_LENGTH else text
    try:
        code = parse_code(text)
    except ValueError:
        # With zeros before it, a wrong code of 8 digits may be a right one.
        found.update((text,) if len(text) == _SHORT else (text, *_padded(text)))
    else:
        if has_check_digit:
            found.update(code.spellings)
    return tuple(sorted(found))


def _require_format(text: str, *, has_check_digit: bool) -> None:
    if has_check_digit:
        if not _FORMAT.fullmatch(text):
            message = "must be a PLU code of 4 or 5 digits or a GTIN of 8 or 12 to 14"
            raise ValueError(message)
    elif not _WITHOUT_CHECK_DIGIT.fullmatch(text):
        message = "must be a PLU code of 4 or 5 digits or a GTIN of 11 to 13 without check digit"
        raise ValueError(message)


def _parse_gtin(text: str) -> ProductCode:
    if len(text) == _SHORT and text[0] == "0":
        text = _from_upc_e(text) or text
    digits = text.zfill(_CANONICAL)
    if _check_digit(digits[:-1]) != digits[-1]:
        message = "has a wrong check digit"
        raise ValueError(message)
    kind = CodeKind.RESTRICTED if _RESTRICTED.match(digits) else CodeKind.GTIN
    return ProductCode(kind=kind, digits=digits)


def _check_digit(payload: str) -> str:
    """What follows a GTIN's other digits: their weights are 3 and 1 in turn, the last one's 3."""
    weighted = 3 * sum(map(int, payload[::-2])) + sum(map(int, payload[-2::-2]))
    return str(-weighted % 10)


def _is_produce(digits: str) -> bool:
    return len(digits) in _PLU_LENGTHS and any(int(digits) in codes for codes in _PRODUCE)


def _padded(digits: str) -> tuple[str, ...]:
    """The digits with zeros in front, in every length of a GTIN above 8 that they fit."""
    significant = digits.lstrip("0")
    return tuple(significant.zfill(n) for n in _PADDED_LENGTHS if len(significant) <= n)


def _short_forms(digits: str) -> Iterator[str]:
    if digits.startswith("000000"):
        yield digits[-_SHORT:]
    if digits.startswith("000") and "0000" in digits[3:]:
        biip = _biip()
        with suppress(biip.EncodeError):
            yield biip.Upc.parse(digits[2:]).as_upc_e()


def _from_upc_e(text: str) -> str | None:
    biip = _biip()
    try:
        found: str = biip.Upc.parse(text).as_upc_a()
    except biip.ParseError:
        return None  # a store's own number, if it is anything
    return found


def _biip() -> Any:
    # It takes longer to load than all that a service imports of us, and few codes need it.
    try:
        from biip import upc  # noqa: PLC0415
    except ModuleNotFoundError:
        raise MissingExtraError("db", "biip") from None
    return upc


def _reads_as(text: str, code: ProductCode) -> bool:
    try:
        return parse_code(text) == code
    except ValueError:
        return False
