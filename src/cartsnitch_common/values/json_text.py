"""JSON of no fixed shape, as text that a column of the type jsonb takes whole."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from cartsnitch_common.values.texts import has_half_a_character

LEVELS: Final = 1000
"""The most lists and mappings in each other; PostgreSQL's own limit is its stack's, far above."""

_NO_JSON: Final = "must be JSON: text, finite numbers, booleans, None, lists and mappings of text"
_encode: Final = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode
_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BRACKET: Final = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]')


def json_to_text(value: Any) -> str:
    """Write a value as JSON.

    Raises:
        ValueError: JSON has nothing for a part of it, such as a date, NaN or a key that is no
            text, or jsonb has not: NUL, half of a character, more than ``LEVELS`` levels.
    """
    try:
        text = _encode(value)
    except (TypeError, ValueError):  # they quote the value
        raise ValueError(_NO_JSON) from None
    except RecursionError:
        raise ValueError(_too_deep()) from None
    if not _has_keys_of_text(value):
        raise ValueError(_NO_JSON)
    if has_half_a_character(text):
        raise ValueError("holds half of a character")
    if "\\u0000" in text and _NUL.search(text):
        raise ValueError("holds a NUL character")
    if text.count("[") + text.count("{") > LEVELS and _levels(text) > LEVELS:
        raise ValueError(_too_deep())
    return text


def _has_keys_of_text(value: Any) -> bool:
    """Whether no key became text in writing: 1 would be the key "1" a second time."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if not all(isinstance(key, str) for key in one):
                return False
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
    return True


def _too_deep() -> str:
    return f"is nested deeper than {LEVELS} levels"


def _levels(text: str) -> int:
    deepest = level = 0
    for part in _BRACKET.finditer(text):
        if part[1]:
            level += 1
            deepest = max(deepest, level)
        elif part[0] in "]}":
            level -= 1
    return deepest
