"""What the queries are asked with, checked so that an error names the argument."""

from __future__ import annotations

import uuid
from typing import Any

from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.values.texts import has_half_a_character


def check_ids(**ids: Any) -> None:
    """Look at ids by the names of their arguments; None is one that is not given.

    Raises:
        InvalidFieldError: One is neither a UUID nor the text of one.
    """
    for field, value in ids.items():
        if value is None or isinstance(value, uuid.UUID):
            continue
        try:
            uuid.UUID(value)
        except (AttributeError, TypeError, ValueError):
            raise InvalidFieldError(field, "must be a UUID") from None


def checked_place[K](after: tuple[K, uuid.UUID] | None) -> tuple[K, uuid.UUID] | None:
    """What a page begins behind, with its id as a UUID; None is the first page's.

    Raises:
        InvalidFieldError: The id is neither a UUID nor the text of one; the field is ``after``.
    """
    if after is None:
        return None
    key, id_ = after
    check_ids(after=id_)
    return key, uuid.UUID(str(id_))


def given_only(**parameters: Any) -> dict[str, Any]:
    """The parameters that are not None."""
    return {name: value for name, value in parameters.items() if value is not None}


def checked_text(field: str, value: str) -> str:
    """A text that the database can compare with.

    Raises:
        InvalidFieldError: It is no text, or holds NUL or half of a character.
    """
    if not isinstance(value, str):
        raise InvalidFieldError(field, "must be text")
    if "\x00" in value:
        raise InvalidFieldError(field, "holds a NUL character")
    if has_half_a_character(value):
        raise InvalidFieldError(field, "holds half of a character")
    return value
