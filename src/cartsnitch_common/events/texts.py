"""Texts for logs and dead letters, out of errors that may quote what somebody sent."""

from __future__ import annotations

from typing import Final

from cartsnitch_common.errors import CartsnitchError

_LONGEST: Final = 300


def one_line(text: str) -> str:
    """The text cut to a line's length, with a question mark for what cannot be printed."""
    return "".join(char if char.isprintable() else "?" for char in text[:_LONGEST])


def error_reason(error: BaseException) -> str:
    """An error's class, and its message if it is one of ours, which never holds a value."""
    name = type(error).__name__
    return f"{name}: {one_line(str(error))}" if isinstance(error, CartsnitchError) else name


def error_place(error: BaseException) -> str:
    """Where an error was raised: a function, a file's name and a line."""
    trace = error.__traceback__
    if trace is None:
        return "nowhere"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
