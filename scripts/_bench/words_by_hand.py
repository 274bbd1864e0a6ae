"""The words of a product's name as plain Python makes them: the rival of a search by name."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LETTERS: Final = r"a-z\u00c0-\u1fff\u2c00-\U0010ffff"
_MARKS: Final = re.compile("[\u0300-\u036f'`\u2019]")
_APART: Final = re.compile(rf"[^0-9{_LETTERS}%./]+|(?<![0-9])[%./]|[./](?![0-9])")
_UNITS: Final = re.compile(
    rf"(?<![{_LETTERS}])(?:fl ?oz|fz|lbs|pounds?|ounces?|pk|packs?|cnt|count|gallons?)"
    rf"(?![{_LETTERS}])"
)
_SHORT: Final = {
    **dict.fromkeys(("fl oz", "floz", "fz"), "floz"),
    **dict.fromkeys(("lbs", "pound", "pounds"), "lb"),
    **dict.fromkeys(("ounce", "ounces"), "oz"),
    **dict.fromkeys(("pk", "pack", "packs", "cnt", "count"), "ct"),
    **dict.fromkeys(("gallon", "gallons"), "gal"),
}
_AMOUNT: Final = re.compile(rf"([0-9]) (floz|oz|lb|g|kg|ml|l|gal|qt|pt|ct)(?![0-9{_LETTERS}])")


def words_of(text: str) -> set[str]:
    """The same words as the function ``product_name_tokens`` of the database makes."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text).replace("\u00d7", "x")
    plain = _APART.sub(" ", _MARKS.sub("", text.lower()))
    plain = _UNITS.sub(lambda found: _SHORT[found[0]], plain)
    return {word[:64] for word in _AMOUNT.sub(r"\1\2", plain).split()}
