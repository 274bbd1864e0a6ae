"""How far behind everything is: the outbox, the streams' groups, and what was given up.

Figures of Redis are read one after the other while others work: of a bus that is busy
they are true to a moment, and not to the same one. Ages of entries are by Redis's clock
against this machine's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError
from sqlalchemy import func, select

from cartsnitch_common.constants import EventType
from cartsnitch_common.contract.bindings import stream_name
from cartsnitch_common.db.models.event import OutboxEvent
from cartsnitch_common.events.client import redis_errors
from cartsnitch_common.events.dead_letters import count_by_consumer
from cartsnitch_common.events.group_state import CLOSED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.events.client import RedisClient

_LOOKED_AT: Final = 1000
"""The first so many pending entries are looked at for the one that is idle longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxLag:
    """What waits for the relay.

    Attributes:
        waiting: Events in the outbox.
        seconds: How long the oldest has waited; 0 when none does.
    """

    waiting: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLag:
    """How far a group is behind on a stream.

    Attributes:
        event_type: The channel.
        group: The group: a service.
        unread: Entries that it has not read; None when Redis cannot tell.
        pending: Entries that it has read and not acknowledged.
        seconds: The age of the oldest entry that it has not acknowledged, read or not;
            0 when there is none.
        idle_seconds: How long the entry has been in the hands of a consumer that was read
            longest ago and is pending; 0 when none is.
    """

    event_type: str
    group: str
    unread: int | None
    pending: int
    seconds: float
    idle_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Everything that may be behind.

    Attributes:
        outbox: None when no database was asked.
        dead_letters: By the consumer that gave up; None when no database was asked.
        streams: Entries of each stream, by the channel.
        groups: Every group of every stream.
    """

    outbox: OutboxLag | None
    dead_letters: Mapping[str, int] | None
    streams: Mapping[str, int]
    groups: tuple[GroupLag, ...]

    @property
    def seconds(self) -> float:
        """The greatest of all ages."""
        outbox = [self.outbox.seconds] if self.outbox else []
        return max([*outbox, *(group.seconds for group in self.groups)], default=0.0)


async def measure(session: AsyncSession | None, redis: RedisClient) -> Lag:
    """Look at all of it; nothing is changed.

    Args:
        session: A session that may read the event tables, as the relay's role does;
            None to look at Redis alone.
        redis: A client of ``async_redis`` that may look, as the operator does.

    Raises:
        DatabaseError: The database cannot be used.
        ServerUnavailableError: Redis cannot be used.
    """
    outbox = dead = None
    if session is not None:
        outbox = await outbox_lag(session)
        dead = await count_by_consumer(session)
    streams: dict[str, int] = {}
    groups: list[GroupLag] = []
    with redis_errors():
        for event_type in EventType:
            stream = stream_name(event_type)
            streams[event_type.value] = await redis.xlen(stream)
            groups += await _groups(redis, event_type, stream)
    return Lag(outbox=outbox, dead_letters=dead, streams=streams, groups=tuple(groups))


async def outbox_lag(session: AsyncSession) -> OutboxLag:
    """What waits in the outbox, by the database's clock."""
    age = func.extract("epoch", func.clock_timestamp() - func.min(OutboxEvent.created_at))
    row = (await session.execute(select(func.count(), age).select_from(OutboxEvent))).one()
    return OutboxLag(waiting=row[0], seconds=max(float(row[1] or 0), 0.0))


async def _groups(redis: RedisClient, event_type: EventType, stream: str) -> list[GroupLag]:
    try:
        found: Any = await redis.xinfo_groups(stream)
    except ResponseError:
        if await redis.xlen(stream):
            raise
        return []  # there is no such stream
    return [await _group(redis, event_type, stream, facts) for facts in found]


async def _group(
    redis: RedisClient, event_type: EventType, stream: str, facts: dict[str, Any]
) -> GroupLag:
    group: str = facts["name"].decode()
    now = time.time() * 1000
    oldest: list[float] = []
    idle = 0.0
    if facts["pending"]:
        summary: Any = await redis.xpending(stream, group)
        if summary["min"]:
            oldest.append(_time(summary["min"]))
        pending: Any = await redis.xpending_range(stream, group, "-", "+", _LOOKED_AT)
        idle = max((row["time_since_delivered"] / 1000 for row in pending), default=0.0)
    last, count = facts["last-delivered-id"].decode(), facts.get("lag")
    if last == CLOSED:  # all of it comes after the replay that is under way
        last, count = "0-0", await redis.xlen(stream)
    unread: Any = await redis.xrange(stream, f"({last}", "+", count=1)
    oldest += [_time(entry_id) for entry_id, _ in unread]
    return GroupLag(
        event_type=event_type.value,
        group=group,
        unread=count,
        pending=facts["pending"],
        seconds=max(0.0, (now - min(oldest)) / 1000) if oldest else 0.0,
        idle_seconds=idle,
    )


def _time(entry_id: bytes) -> float:
    return float(entry_id.partition(b"-")[0])
