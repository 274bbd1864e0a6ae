"""The words of a product's name, made in Python as the database makes them, to compare with."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_LETTERS: Final = r"a-z\u00c0-\u1fff\u2c00-\U0010ffff"
_UPPER: Final = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def _word(pattern: str) -> str:
    return rf"(?<![{_LETTERS}])(?:{pattern})(?![{_LETTERS}])"


# The steps of the function product_name_tokens, in its order.
_STEPS: Final = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"[\u0300-\u036f'`\u2019]", ""),
        (r"\u00d7", "x"),
        (rf"[^0-9{_LETTERS}%./]+|(?<![0-9])[%./]|[./](?![0-9])", " "),
        (_word("fl *oz|fz"), "floz"),
        (_word("lbs|pounds?"), "lb"),
        (_word("ounces?"), "oz"),
        (_word("pk|packs?|cnt|count"), "ct"),
        (_word("gallons?"), "gal"),
        (rf"([0-9]) +(floz|oz|lb|g|kg|ml|l|gal|qt|pt|ct)(?![0-9{_LETTERS}])", r"\1\2"),
        ("([^ ]{64})[^ ]+", r"\1"),
    )
)


def name_tokens(text: str) -> frozenset[str]:
    """The words of a text; two texts are as alike as these sets."""
    text = unicodedata.normalize("NFKD", text).translate(_UPPER)
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return frozenset(text.split(" ")) - {""}


def likeness(one: frozenset[str], other: frozenset[str]) -> int:
    """Shared words by all words of both, cut to a whole number of ten-thousandths."""
    shared = len(one & other)
    together = len(one) + len(other) - shared
    return shared * 10000 // together if together else 0
