"""A mark that another transaction holds says nothing against the event or its handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cartsnitch_common.db.driver_errors import database_error
from cartsnitch_common.errors import (
    InboxUnavailableError,
    TimeLimitError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_HELD: Final = "the mark of an event is not to be had: another delivery is in its midst"


def marking() -> AbstractContextManager[None]:
    """Hold it around the statement that marks events.

    The mark waits for the end of a transaction that made the same one: that of a consumer
    which was suspended in the midst of the event, perhaps for long. To wait again costs
    nothing; to count it as a failed delivery would bury an event that nobody has failed on.

    Raises:
        InboxUnavailableError: The wait was too long, or met another one that waits for it.
    """
    return _MARKING


class _Marking:
    """Without a generator, which would cost more than all else that is done here."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception) and (
            isinstance(error, TimeoutError)  # asyncpg's, when the server does not end the wait
            or isinstance(database_error(error), (TimeLimitError, TransactionAbortedError))
        ):
            raise InboxUnavailableError(_HELD) from error


_MARKING: Final = _Marking()
