"""Text that somebody else wrote: what it may not hold, and one line of it for a log."""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 300


def one_line(text: str, *, longest: int = _LONGEST) -> str:
    """The text cut to a line's length, with a question mark for what cannot be printed.

    Line breaks, terminal escapes and marks that turn the direction of the text
    are none of a line's characters.

    Args:
        text: Any text.
        longest: Unit: characters that are kept.
    """
    return "".join(char if char.isprintable() else "?" for char in text[:longest])


def has_half_a_character(text: str) -> bool:
    """Whether a text holds a surrogate, which UTF-8 cannot write."""
    return not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text)
