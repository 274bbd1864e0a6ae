"""What is refused is an error of ours, and shows nothing of the row or of the statement."""

from __future__ import annotations

import contextlib
import logging
import re
import traceback
from collections.abc import Iterator

import pytest

from cartsnitch_common.errors import DatabaseError


def chained(error: BaseException) -> Iterator[BaseException]:
    """An error and all that hang on it, whatever Python would print of them."""
    seen: list[BaseException | None] = [None]
    todo = [error]
    while todo:
        if (each := todo.pop()) not in seen:
            seen.append(each)
            yield each
            todo += filter(None, [each.__cause__, each.__context__, getattr(each, "orig", None)])


def shown(error: BaseException) -> str:
    """Everything that a person, a log or a tracker of errors may see of an error."""
    texts = ["".join(traceback.format_exception(error))]
    for each in chained(error):
        texts += [str(each), repr(each), repr(each.args), repr(vars(each))]
    record = logging.LogRecord("x", 40, "x", 1, "m", None, (type(error), error, None))
    return "\n".join([*texts, logging.Formatter().format(record)])


@contextlib.contextmanager
def refused[E: DatabaseError](kind: type[E]) -> Iterator[pytest.ExceptionInfo[E]]:
    """Ours is raised, and nothing of the row or of the statement is near it."""
    with pytest.raises(kind) as caught:
        yield caught
    assert type(caught.value) is kind
    seen = shown(caught.value)
    assert not re.search("canary|DETAIL|Failing row", seen), seen
