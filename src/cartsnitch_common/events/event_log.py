"""The log of relayed events: kept for some days, and read for a replay."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import Interval, bindparam, text
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.errors import DatabaseError, DatabaseUnavailableError
from cartsnitch_common.events.names import RELAY_LOCKS

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

_LOG: Final = logging.getLogger(__name__)

_KEEP: Final = text("SELECT event_log_keep(:retention)").bindparams(
    bindparam("retention", type_=Interval)
)
_INTERVAL: Final = 3600.0  # seconds
_AFTER_FAILURE: Final = 10.0
_PATIENCE: Final = 60.0

# The first row of a time may have a greater id than a later one, of another key.
_FIRST_ID: Final = text(
    "SELECT min(id) FROM event_log"
    " WHERE relayed_at >= :since_time AND event_type = ANY (CAST(:event_types AS text[]))"
)

# Every batch holds the lock too, shared with the others, until it is committed.
_COMPLETE: Final = text(f"""
WITH held AS MATERIALIZED (SELECT pg_advisory_xact_lock({RELAY_LOCKS}, 0))
SELECT clock_timestamp() FROM held
""")

# Of each type the next ones, by its index in each partition.
_READ: Final = text("""
SELECT l.id, l.event_id, l.event_type, l.key, l.envelope, l.relayed_at
FROM unnest(CAST(:event_types AS text[])) AS t (event_type)
CROSS JOIN LATERAL (
  SELECT * FROM event_log AS e
  WHERE e.event_type = t.event_type AND e.id > :since_id
    AND e.relayed_at >= coalesce(CAST(:since_time AS timestamptz), '-infinity')
    AND e.relayed_at < coalesce(CAST(:before_time AS timestamptz), 'infinity')
  ORDER BY e.id LIMIT :batch
) AS l
ORDER BY l.id LIMIT :batch
""")


class Logged(NamedTuple):
    """An event of the log."""

    id: int
    """Ascends within a type and key; what a next read continues behind."""

    event_id: uuid.UUID
    event_type: str
    key: str
    envelope: bytes
    relayed_at: dt.datetime
    """When it had been put on Redis."""


async def read_log(
    session: AsyncSession,
    *,
    event_types: Sequence[str],
    since_time: dt.datetime | None = None,
    since_id: int = 0,
    before_time: dt.datetime | None = None,
    batch: int = 500,
) -> list[Logged]:
    """The oldest relayed events behind a time and an id, in the order of their ids.

    To read on, pass the last one's id, and the same times. Rows may be added meanwhile with
    ids that lie behind, and later ones of their key before: only of what was relayed before
    ``complete_until`` a key's events are all there, and in order. End the transaction after
    each batch: a partition that is read cannot be dropped.

    Args:
        session: Any; nothing is written.
        event_types: The channels.
        since_time: Only events relayed then or later; None for all that are kept.
        since_id: Only events of greater ids.
        before_time: Only events relayed earlier; None for all.
        batch: How many at most.
    """
    types = list(event_types)
    if since_time is not None and not since_id:
        parameters: dict[str, Any] = {"since_time": since_time, "event_types": types}
        first = await session.scalar(_FIRST_ID, parameters)
        if first is None:
            return []
        since_id = first - 1
    parameters = {
        "event_types": types,
        "since_time": since_time,
        "since_id": since_id,
        "before_time": before_time,
        "batch": batch,
    }
    return [Logged(*row) for row in await session.execute(_READ, parameters)]


async def complete_until(session: AsyncSession) -> dt.datetime:
    """Wait for the batches that relays are in the midst of, and tell how late it is then.

    What was relayed earlier is in the log, and no row of an earlier time will be added. End
    the transaction: as long as it lasts no relay begins a batch.
    """
    moment: dt.datetime = (await session.execute(_COMPLETE)).scalar_one()
    return moment


class LogKeeper:
    """Has the log's partitions made ahead and dropped past the retention, every hour."""

    def __init__(self, retention: dt.timedelta) -> None:
        """Begin with the first call.

        Args:
            retention: How long relayed events are kept; whole days are dropped.
        """
        self._retention = retention
        self._next = 0.0
        self._told = False

    async def keep(self, engine: AsyncEngine) -> None:
        """Do it, if it is time; what cannot be done now is tried again soon.

        A row that has no partition lands in the default one, and is moved later.

        Raises:
            DatabaseUnavailableError: There is no connection.
            TimeoutError: The database does not answer.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + _AFTER_FAILURE
        try:
            async with asyncio.timeout(_PATIENCE), engine.begin() as connection:
                done = await connection.scalar(_KEEP, {"retention": self._retention})
        except DatabaseUnavailableError:
            raise
        except (DatabaseError, DBAPIError) as error:
            if not self._told:
                state = sqlstate_of(error)
                _LOG.warning("the event log's partitions cannot be kept (SQLSTATE %s)", state)
            self._told = True
        else:
            self._told = False
            if done:
                self._next = time.monotonic() + _INTERVAL
