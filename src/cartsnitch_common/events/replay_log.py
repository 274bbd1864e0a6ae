"""The log of relayed events in PostgreSQL, as a replay reads it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cartsnitch_common.errors import (
    DatabaseUnavailableError,
    InboxUnavailableError,
    TimeLimitError,
)
from cartsnitch_common.events.event_log import complete_until, read_log

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Iterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    from cartsnitch_common.events.event_log import Logged

_PAGE: Final = 500


class SqlEventLog:
    """The table ``event_log``.

    A service's role may not read it, because it holds the events of every service: the
    sessions' login must be a member of ``cartsnitch_replay`` as well.
    """

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        """Take the maker of the sessions."""
        self._sessions = sessions

    async def read(
        self, event_types: Sequence[str], *, since_time: dt.datetime | None, since_id: int
    ) -> AsyncIterator[Sequence[Logged]]:
        """See ``replay.EventLog``.

        It waits for the batches that relays are in the midst of: what was published before
        this call is in the log then, or will be published again. What is relayed later is
        not read: it is on its stream, behind all that is.
        """
        with _unavailable():
            async with self._sessions() as session:
                end = await complete_until(session)
        while True:
            with _unavailable():
                async with self._sessions() as session:  # one for each page: see read_log
                    page = await read_log(
                        session,
                        event_types=event_types,
                        since_time=since_time,
                        since_id=since_id,
                        before_time=end,
                        batch=_PAGE,
                    )
            if not page:
                return
            yield page
            since_id = page[-1].id


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailableError as error:
        raise InboxUnavailableError(error.reason or "another database") from error
    except TimeLimitError as error:
        raise InboxUnavailableError("the log is not complete, or not read, in time") from error
