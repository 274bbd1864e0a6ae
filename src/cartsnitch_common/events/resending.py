"""What a group has missed, read from the event log and put on the streams for it alone.

``Consumer.replay`` handles the log in the service's own process. This is for whoever has
only the servers: the group's consumers get the events as they get all others, in the
log's order within a key, after what the streams hold already.
"""

from __future__ import annotations

from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import exists, select

from cartsnitch_common.contract.bindings import stream_name
from cartsnitch_common.db.models.event import InboxEvent
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.events.client import redis_errors
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.names import ENTRY_FIELD, GROUP_FIELD
from cartsnitch_common.events.replay_log import SqlEventLog

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Sequence

    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.event_log import Logged


class Page(NamedTuple):
    """Some events of the log, in their order."""

    rows: Sequence[Logged]
    """All of them."""

    missed: Sequence[Logged]
    """Those that the group's inbox does not know: neither handled nor given up on."""


async def missed_pages(
    sessions: async_sessionmaker[AsyncSession],
    group: str,
    event_types: Sequence[str],
    *,
    since_time: dt.datetime | None = None,
    since_id: int = 0,
) -> AsyncIterator[Page]:
    """The log, page by page, with what a group has missed.

    Args:
        sessions: Sessions that may read the event tables, as the relay's role does.
        group: The consumer group.
        event_types: The channels.
        since_time: Only events relayed then or later.
        since_id: Only events of greater ids of the log.

    Raises:
        InvalidFieldError: The group has never handled an event, here: its name is wrong,
            or it is new and reads the streams from their beginning.
        InboxUnavailableError: The database cannot be used now.
    """
    async with sessions() as session:
        if not await session.scalar(select(exists().where(InboxEvent.consumer == group))):
            raise InvalidFieldError("GROUP", "has never handled an event")
    inbox, log = SqlInbox(sessions), SqlEventLog(sessions)
    async for rows in log.read(event_types, since_time=since_time, since_id=since_id):
        known = await inbox.marked(group, [row.event_id for row in rows])
        yield Page(rows, [row for row in rows if row.event_id not in known])


async def resend(redis: RedisClient, group: str, rows: Sequence[Logged]) -> None:
    """Put events of the log on their streams, for one group.

    Args:
        redis: A client of ``async_redis`` that may write to streams, as the relay's does.
        group: The group; the others pass the entries over.
        rows: The events, in the log's order. A batch of a stream is sent whole or not.

    Raises:
        ServerUnavailableError: Redis did not take all of them. To send them once more
            changes nothing: the inbox lets each take effect once.
    """
    with redis_errors():
        for event_type, some in groupby(sorted(rows, key=_event_type), key=_event_type):
            async with redis.pipeline(transaction=True) as pipe:
                for row in some:
                    entry: dict[Any, Any] = {ENTRY_FIELD: row.envelope, GROUP_FIELD: group}
                    pipe.xadd(stream_name(event_type), entry)
                await pipe.execute()


_event_type = attrgetter("event_type")
