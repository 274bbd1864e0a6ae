"""Texts for logs and dead letters, out of errors that may quote what somebody sent."""

from __future__ import annotations

from cartsnitch_common.errors import CartsnitchError
from cartsnitch_common.values.texts import one_line

__all__ = ["error_place", "error_reason", "one_line"]


def error_reason(error: BaseException) -> str:
    """An error's class, and its message if it is one of ours, which never holds a value.

    Of a database's error the SQLSTATE is told too: it says what, and of nobody.
    """
    name = type(error).__name__
    if isinstance(error, CartsnitchError):
        return f"{name}: {one_line(str(error))}"
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return f"{name} {one_line(state)}" if isinstance(state, str) else name


def error_place(error: BaseException) -> str:
    """Where an error was raised: a function, a file's name and a line."""
    trace = error.__traceback__
    if trace is None:
        return "nowhere"
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{code.co_qualname} ({code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
