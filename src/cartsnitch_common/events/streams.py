"""One consumer's view of its streams on Redis: entries read, claimed, acknowledged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import ResponseError

from cartsnitch_common.events.client import ClusterClient
from cartsnitch_common.events.names import ENTRY_FIELD
from cartsnitch_common.events.slot_reads import SlotReads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cartsnitch_common.events.client import RedisClient

_FIRST: Final = "0-0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of a stream, delivered to this consumer and not acknowledged.

    Attributes:
        stream: The stream.
        entry_id: Its id there.
        data: The envelope's bytes; None when the stream has lost them.
        deliveries: How often it was delivered, this time included.
    """

    stream: str
    entry_id: str
    data: bytes | None = field(repr=False)
    deliveries: int = 1


class GroupReader:
    """Reads some streams as one consumer of one group.

    What may have been delivered before is read entry by entry: Redis counts a
    delivery when it answers, so a batch in which one event kills the process
    would count against all the others in it.
    """

    def __init__(
        self, redis: RedisClient, *, group: str, name: str, streams: Sequence[str]
    ) -> None:
        """Describe it; ``create_groups`` comes first, ``aclose`` last."""
        self._redis = redis
        self._group = group
        self._name = name
        self.streams = tuple(streams)
        self._limits: dict[str, Any] = {}
        self._slots = SlotReads(lambda stream: self._read({stream: ">"}, **self._limits))

    async def create_groups(self) -> None:
        """Make the group on each stream, from the stream's beginning, where it is missing."""
        await self._slots.end()
        for stream in self.streams:
            try:
                await self._redis.xgroup_create(stream, self._group, id=0, mkstream=True)
            except ResponseError as error:
                if not str(error).startswith("BUSYGROUP"):
                    raise

    async def own_pending(self, stream: str) -> Entry | None:
        """The oldest entry that this consumer got before and did not acknowledge."""
        found = await self._read({stream: _FIRST}, count=1)
        return await self._counted(found[0]) if found else None

    async def claim(self, stream: str, *, idle: float) -> list[Entry]:
        """Take over one entry that another consumer has left for ``idle`` seconds.

        Returns:
            That entry, and before it those whose data the stream has lost: Redis
            forgets them with this answer. Nothing when there is nothing to take.
        """
        cursor, found = _FIRST, list[Entry]()
        while not found:
            reply: Any = await self._redis.xautoclaim(
                stream, self._group, self._name, int(idle * 1000), cursor, count=1
            )
            for lost in reply[2:]:
                found += [self._entry(stream, entry_id, None) for entry_id in lost]
            for entry_id, fields in reply[1]:
                found.append(await self._counted(self._entry(stream, entry_id, fields)))
            cursor = reply[0].decode()
            if cursor == _FIRST:
                break
        return found

    async def new(self, *, count: int, block: float) -> list[Entry]:
        """Entries that no consumer of the group has seen, waiting up to ``block`` seconds."""
        self._limits = {"count": count, "block": max(1, int(block * 1000))}
        if isinstance(self._redis, ClusterClient):
            return await self._slots.first(self.streams)
        return await self._read(dict.fromkeys(self.streams, ">"), **self._limits)

    async def acknowledge(self, entry: Entry) -> None:
        """Tell Redis that the entry is done with."""
        await self._redis.xack(entry.stream, self._group, entry.entry_id)

    async def aclose(self) -> None:
        """Wait for reads that are under way; what they bring stays pending."""
        await self._slots.end()

    async def _read(
        self, positions: Mapping[Any, str], *, count: int, block: int | None = None
    ) -> list[Entry]:
        # The shape that the client's legacy_responses=False makes of every protocol.
        reply: Any = await self._redis.xreadgroup(
            self._group, self._name, dict(positions), count=count, block=block
        )
        return [
            self._entry(stream.decode(), entry_id, fields)
            for stream, entries in reply.items()
            for entry_id, fields in entries
        ]

    def _entry(self, stream: str, entry_id: bytes, fields: dict[bytes, bytes] | None) -> Entry:
        # An entry without our field is as undecodable as one with wrong bytes in it.
        data = fields.get(ENTRY_FIELD, b"") if fields else None
        return Entry(stream=stream, entry_id=entry_id.decode(), data=data)

    async def _counted(self, entry: Entry) -> Entry:
        """The entry with the number of its deliveries, which only XPENDING tells."""
        pending: Any = await self._redis.xpending_range(
            entry.stream, self._group, entry.entry_id, entry.entry_id, 1
        )
        return replace(entry, deliveries=pending[0]["times_delivered"]) if pending else entry
