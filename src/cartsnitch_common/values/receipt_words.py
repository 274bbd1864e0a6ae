"""The words that receipts cut short, spelled out.

Retailers shorten names to the width of their paper, each in its own way and not
always in one. Listed is what is short for one thing only on a receipt of groceries:
``VAN`` is vanilla there, but ``TP`` is toilet paper or toothpaste. What it is good for is
told with figures in :mod:`~cartsnitch_common.db.queries.product_names`.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SHORT_FOR: Final[Mapping[str, str]] = MappingProxyType(
    {
        # brands
        "gg": "good gather",
        "gm": "general mills",
        "hnz": "heinz",
        "klg": "kelloggs",
        "krft": "kraft",
        "kro": "kroger",
        "lol": "land o lakes",
        "mjr": "meijer",
        "phila": "philadelphia",
        "qkr": "quaker",
        # what it is
        "brd": "bread",
        "brocc": "broccoli",
        "btr": "butter",
        "chkn": "chicken",
        "chs": "cheese",
        "cran": "cranberry",
        "crl": "cereal",
        "crm": "cream",
        "det": "detergent",
        "drsg": "dressing",
        "flks": "flakes",
        "juc": "juice",
        "mac": "macaroni",
        "mayo": "mayonnaise",
        "mlk": "milk",
        "mozz": "mozzarella",
        "oj": "orange juice",
        "pepp": "pepperoni",
        "pnt": "peanut",
        "pza": "pizza",
        "sce": "sauce",
        "tky": "turkey",
        "tom": "tomato",
        "tort": "tortilla",
        "veg": "vegetable",
        "ygrt": "yogurt",
        "ygt": "yogurt",
        # how it is
        "amer": "american",
        "bbq": "barbecue",
        "bnls": "boneless",
        "brn": "brown",
        "ched": "cheddar",
        "choc": "chocolate",
        "cinn": "cinnamon",
        "clsc": "classic",
        "eng": "english",
        "frzn": "frozen",
        "grk": "greek",
        "grn": "green",
        "grnd": "ground",
        "hny": "honey",
        "lg": "large",
        "liq": "liquid",
        "lrg": "large",
        "lt": "light",
        "med": "medium",
        "nat": "natural",
        "nf": "nonfat",
        "org": "organic",
        "orig": "original",
        "shrd": "shredded",
        "shred": "shredded",
        "sknls": "skinless",
        "strwb": "strawberry",
        "unslt": "unsalted",
        "unswt": "unsweetened",
        "van": "vanilla",
        "virg": "virgin",
        "whl": "whole",
    }
)
"""What a word is short for, in lower case."""

_WORD: Final = re.compile(r"(?<![\w'])[A-Za-z]+(?![\w'])", re.ASCII)


def spell_out(line: str) -> str:
    """A receipt line with the words that are cut short spelled out: CHKN is chicken."""
    return _WORD.sub(lambda found: SHORT_FOR.get(found[0].lower(), found[0]), line)
