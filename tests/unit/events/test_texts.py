from __future__ import annotations

import pytest

from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.events.texts import error_place, error_reason, one_line


def test_a_foreign_errors_message_is_left_out() -> None:
    """A driver quotes rows and addresses: only the class of its error is shown."""
    assert error_reason(ValueError("jane@example.com")) == "ValueError"


def test_our_errors_message_is_shown() -> None:
    """Our messages name fields and never values."""
    assert error_reason(InvalidFieldError("total", "is missing")) == (
        "InvalidFieldError: total: is missing"
    )


def test_a_line_is_printable_and_short() -> None:
    """Line ends, control characters and half characters do not reach a log or a column."""
    assert one_line("a\nb\0c\ud800" + "x" * 1000) == "a?b?c?" + "x" * 294


def test_the_place_of_an_error_is_the_innermost() -> None:
    """A failed handler is found without its traceback."""

    def inner() -> None:
        raise ValueError

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - it has no text
        inner()
    place = error_place(caught.value)
    assert "inner" in place
    assert "test_texts.py:" in place
