"""A mark that another transaction holds says nothing against the event or its handler."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cartsnitch_common.db.driver_errors import database_error
from cartsnitch_common.errors import (
    InboxUnavailableError,
    TimeLimitError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_HELD: Final = "the mark of an event is not to be had: another delivery is in its midst"


@contextmanager
def marking() -> Iterator[None]:
    """Hold it around the statement that marks events.

    The mark waits for the end of a transaction that made the same one: that of a consumer
    which was suspended in the midst of the event, perhaps for long. To wait again costs
    nothing; to count it as a failed delivery would bury an event that nobody has failed on.

    Raises:
        InboxUnavailableError: The wait was too long, or met another one that waits for it.
    """
    try:
        yield
    except TimeoutError as error:  # asyncpg's, when the server does not end the wait itself
        raise InboxUnavailableError(_HELD) from error
    except Exception as error:
        if isinstance(database_error(error), (TimeLimitError, TransactionAbortedError)):
            raise InboxUnavailableError(_HELD) from error
        raise
