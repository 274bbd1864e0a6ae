"""The id that a request keeps through every service it passes."""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import Final

from cartsnitch_common.values.ids import new_uuid

METADATA_KEY: Final = "x-request-id"
"""Where the id stands in a call's metadata."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
_current: Final[ContextVar[str | None]] = ContextVar("cartsnitch_request_id", default=None)


def new_request_id() -> str:
    """An id for a request that has none yet."""
    return str(new_uuid())


def current_request_id() -> str | None:
    """The id of the call that is being answered; None outside of one."""
    return _current.get()


def enter_request(given: str | bytes | None) -> str:
    """Take over a caller's id for the task that answers it, if it can stand in a log."""
    plain = isinstance(given, str) and _PLAIN.fullmatch(given)
    request_id = str(given) if plain else new_request_id()
    _current.set(request_id)
    return request_id
