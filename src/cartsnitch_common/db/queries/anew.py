"""Rows as the database has them now, also those that a session holds from before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

_ANEW: Final = {"populate_existing": True}
_AS_HELD: Final[dict[str, bool]] = {}


def anew(session: AsyncSession) -> Mapping[str, bool]:
    """The options of a statement whose rows take the place of those that the session holds.

    Our sessions keep their rows after a commit, and SQLAlchemy answers with a row that is
    held as it was read first. Changes that are not written yet are written before such a
    statement, and would be lost where the session is told not to: its rows stay. What a row
    has that the statement does not read, such as ``Purchase.raw_data``, is to be loaded again.
    """
    return _ANEW if session.autoflush else _AS_HELD
