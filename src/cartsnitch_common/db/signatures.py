"""The functions of the migrations, told apart from others that have the same names.

Their signatures stand in ``schema.json`` beside this module, and whether everybody may
call them; see ``drift.py``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Final

from cartsnitch_common.db.owners import FUNCTIONS

FUNCTION: Final = "FUNCTION "
"""What stands before the name of a function that a right is on."""


def signature(name: str) -> str:
    """The name with its arguments, as PostgreSQL identifies it."""
    return f"{name}({_read()[name][0]})"


def private_functions() -> list[str]:
    """The names of the functions that not everybody may call, such as ``event_log_keep``."""
    return [name for name in FUNCTIONS if not _read()[name][1]]


def public_functions() -> list[str]:
    """The names of the others: they do what their caller may do."""
    return [name for name in FUNCTIONS if _read()[name][1]]


@cache
def _read() -> dict[str, tuple[str, bool]]:
    text = resources.files(__package__).joinpath("schema.json").read_text(encoding="utf-8")
    found = {}
    for key, facts in json.loads(text).items():
        if key.startswith("function "):
            name, _, arguments = key.removeprefix("function ").partition("(")
            found[name] = (arguments.removesuffix(")"), facts.get("callers") == "public")
    return found
