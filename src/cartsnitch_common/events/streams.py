"""One consumer's view of its streams on Redis: entries read, claimed, acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cartsnitch_common.errors import SetupError
from cartsnitch_common.events.arrivals import read_arrivals
from cartsnitch_common.events.client import ClusterClient
from cartsnitch_common.events.group_state import LAST_NUMBER, GroupState
from cartsnitch_common.events.names import ENTRY_FIELD, GROUP_FIELD
from cartsnitch_common.events.resp import exchange, pack
from cartsnitch_common.events.slot_reads import SlotReads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cartsnitch_common.events.client import RedisClient

PAGE: Final = 200
"""How many pending entries are asked for, or claimed, at once."""

_FORSAKEN: Final = 24 * 60 * 60 * 1000
"""Unit: milliseconds of idleness that every claim accepts."""


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One entry of a stream, delivered to this consumer and not acknowledged.

    Nobody changes it; to be frozen would cost it three times as much to be made.

    Attributes:
        stream: The stream.
        entry_id: Its id there.
        data: The envelope's bytes; None when the stream has lost them.
        group: The one group that it is for; None when it is for all.
        deliveries: How often it was delivered, this time included.
    """

    stream: str
    entry_id: str
    data: bytes | None = field(repr=False)
    group: str | None = None
    deliveries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """What Redis says of an entry that was delivered and not acknowledged.

    Attributes:
        entry_id: Its id in the stream.
        owner: The consumer that it was delivered to last.
        idle: Unit: seconds since then.
        deliveries: How often it was delivered.
    """

    entry_id: str
    owner: str
    idle: float
    deliveries: int


class Taken(NamedTuple):
    """What became of an entry that was to be taken."""

    entries: list[Entry]
    """The entry, or its id alone when the stream has lost its data, and others that are lost
    with it: Redis may forget them with the answer. Nothing when it is no longer pending, or
    not idle."""

    others: bool
    """Whether some entry after it, which nobody asked for, is this consumer's now."""


class GroupReader:
    """Reads some streams as one consumer of one group.

    What may have been delivered before is read entry by entry: Redis counts a
    delivery when it answers, so a batch in which one event kills the process
    would count against all the others in it.
    """

    def __init__(
        self,
        redis: RedisClient,
        *,
        group: str,
        name: str,
        streams: Sequence[str],
        replays: bool = False,
    ) -> None:
        """Describe it; ``closed`` comes first, ``aclose`` last.

        Args:
            redis: The client.
            group: The group.
            name: The consumer's name in it.
            streams: The streams.
            replays: Whether what Redis had is handled before a group that was missing is
                read from.
        """
        self._redis = redis
        self._group = group
        self._state = GroupState(redis, group, replays=replays)
        self.name = name
        self.streams = tuple(streams)
        self._limits: dict[str, Any] = {}
        self._slots = SlotReads(lambda stream: self._read({stream: ">"}, **self._limits))

    async def end_reads(self) -> None:
        """Wait until no read is under way; what they bring stays pending."""
        await self._slots.end()

    async def closed(self) -> list[str]:
        """Make the group where it is missing; the streams on which it is closed."""
        return await self._state.closed(self.streams)

    async def open(self, streams: Sequence[str]) -> None:
        """Let a closed group be read from; see ``GroupState``."""
        await self._state.open(streams)

    async def pending(self, stream: str, *, after: str = "", upto: str = "+") -> list[Pending]:
        """What is pending in the whole group, in the stream's order; at most ``PAGE``.

        Args:
            stream: The stream.
            after: The id before the first one.
            upto: The last id.
        """
        first = f"({after}" if after else "-"
        found: Any = await self._redis.xpending_range(stream, self._group, first, upto, PAGE)
        return [
            Pending(
                entry_id=row["message_id"].decode(),
                owner=row["consumer"].decode(),
                idle=row["time_since_delivered"] / 1000,
                deliveries=row["times_delivered"],
            )
            for row in found
        ]

    async def owns_all(self, stream: str) -> bool:
        """Whether nothing is pending with another consumer."""
        found: Any = await self._redis.xpending(stream, self._group)
        return {row["name"].decode() for row in found["consumers"]} <= {self.name}

    async def take(self, stream: str, wanted: Pending, *, idle: float) -> Taken:
        """Take an entry that is pending, as its next delivery.

        Args:
            stream: The stream.
            wanted: The entry.
            idle: Unit: seconds. Another consumer's entry is taken if it is idle for so long.
        """
        found = await (
            self._own(stream, wanted)
            if wanted.owner == self.name
            else self._claim(stream, wanted, idle)
        )
        entries = [
            replace(entry, deliveries=wanted.deliveries + 1)
            for entry in found
            if entry.entry_id == wanted.entry_id or entry.data is None
        ]
        return Taken(entries, others=len(entries) < len(found))

    async def new(self, *, count: int, block: float) -> list[Entry]:
        """Entries that no consumer of the group has seen, waiting up to ``block`` seconds."""
        if isinstance(self._redis, ClusterClient):
            self._limits = {"count": count, "block": _milliseconds(block)}
            return await self._slots.first(self.streams)
        found = await read_arrivals(self._redis, self._ask_new(count, block))
        return [
            self._entry(stream.decode(), entry_id, fields) for stream, entry_id, fields in found
        ]

    async def acknowledge(self, stream: str, entry_ids: Sequence[str]) -> None:
        """Tell Redis that entries are done with."""
        if isinstance(self._redis, ClusterClient):
            await self._redis.xack(stream, self._group, *entry_ids)
            return
        redis: Any = self._redis  # of one server: the check narrows nothing
        ids = [entry_id.encode() for entry_id in entry_ids]
        command = pack(b"XACK", stream.encode(), self._group.encode(), *ids)
        (refusal,) = await exchange(redis, [command], lambda replies: replies.read(1))
        if refusal is not None:
            raise refusal

    async def renew(self, stream: str, entry_ids: Sequence[str]) -> None:
        """Say that entries are still in hand, which is no delivery."""
        await self._reclaim(stream, entry_ids)

    async def release(self, stream: str, entry_ids: Sequence[str]) -> None:
        """Leave entries to whoever comes next, who need not wait."""
        await self._reclaim(stream, entry_ids, idle=_FORSAKEN)

    async def count(self, entry: Entry) -> None:
        """Have Redis remember how often an entry was delivered."""
        await self._reclaim(entry.stream, [entry.entry_id], retrycount=entry.deliveries)

    async def aclose(self) -> None:
        """Wait for reads that are under way; what they bring stays pending."""
        await self._slots.end()

    def _ask_new(self, count: int, block: float) -> bytes:
        names = [stream.encode() for stream in self.streams]
        return pack(
            *(b"XREADGROUP", b"GROUP", self._group.encode(), self.name.encode()),
            *(b"COUNT", b"%d" % count, b"BLOCK", b"%d" % _milliseconds(block)),
            *(b"STREAMS", *names, *[b">"] * len(names)),
        )

    async def _own(self, stream: str, wanted: Pending) -> list[Entry]:
        return await self._read({stream: _before(wanted.entry_id)}, count=1)

    async def _claim(self, stream: str, wanted: Pending, idle: float) -> list[Entry]:
        # XCLAIM would not tell an entry that the stream has lost from one that is done.
        reply: Any = await self._redis.xautoclaim(
            stream, self._group, self.name, int(idle * 1000), wanted.entry_id, count=1
        )
        lost = [self._entry(stream, entry_id, None) for entry_id in reply[2]]
        return lost + [self._entry(stream, *found) for found in reply[1]]

    async def _reclaim(self, stream: str, entry_ids: Sequence[str], **options: Any) -> None:
        for start in range(0, len(entry_ids), PAGE):
            ids: Any = list(entry_ids[start : start + PAGE])
            # To oneself, with ids alone in the answer, which Redis does not count.
            await self._redis.xclaim(stream, self._group, self.name, 0, ids, justid=True, **options)

    async def _read(
        self, positions: Mapping[Any, str], *, count: int, block: int | None = None
    ) -> list[Entry]:
        # The shape that the client's legacy_responses=False makes of every protocol.
        reply: Any = await self._redis.xreadgroup(
            self._group, self.name, dict(positions), count=count, block=block
        )
        return [
            self._entry(stream.decode(), entry_id, fields)
            for stream, entries in reply.items()
            for entry_id, fields in entries
        ]

    def _entry(self, stream: str, entry_id: bytes, fields: dict[bytes, bytes] | None) -> Entry:
        # An entry without our field is as undecodable as one with wrong bytes in it.
        data = fields.get(ENTRY_FIELD, b"") if fields else None
        group = fields.get(GROUP_FIELD) if fields else None
        return Entry(
            stream=stream,
            entry_id=entry_id.decode(),
            data=data,
            group=None if group is None else group.decode(errors="replace"),
        )


async def forget_consumer(redis: RedisClient, stream: str, group: str, name: str) -> bool:
    """Remove a consumer's name that is not used any more, from a group.

    Redis forgets with a name what is pending under it, and nobody would ever handle
    that. So it is done only with nothing pending, and with no process of that
    name: what one reads in between is lost to the group until it is replayed.

    Args:
        redis: A client with the right to ``XGROUP DELCONSUMER``, which services lack.
        stream: The stream.
        group: The group.
        name: The name.

    Returns:
        False, and nothing is removed, when something is pending under it.

    Raises:
        SetupError: A process of that name has read in between.
        RedisError: There is no such group, or Redis cannot be used.
    """
    pending: Any = await redis.xpending_range(stream, group, "-", "+", 1, name)
    if pending:
        return False
    lost = await redis.xgroup_delconsumer(stream, group, name)
    if lost:
        raise SetupError(f"a consumer was in use: replay {lost} events of its group")
    return True


def _milliseconds(seconds: float) -> int:
    return max(1, int(seconds * 1000))


def _before(entry_id: str) -> str:
    """The id right before one."""
    time, _, number = entry_id.partition("-")
    return f"{time}-{int(number) - 1}" if int(number) else f"{int(time) - 1}-{LAST_NUMBER}"
