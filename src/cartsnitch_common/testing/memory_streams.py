"""Streams with consumer groups in memory, as far as a durable consumer asks of Redis."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from cartsnitch_common.events.streams import PAGE, Entry, Pending, Taken

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(slots=True)
class _Delivered:
    owner: str
    time: float
    deliveries: int


@dataclass(slots=True)
class _Group:
    is_open: bool
    read: int = 0
    """How many entries of the stream were delivered to the group."""
    pending: dict[int, _Delivered] = field(default_factory=dict)


@dataclass(slots=True)
class _Stream:
    entries: list[bytes] = field(default_factory=list)
    groups: dict[str, _Group] = field(default_factory=dict)


class MemoryStreams:
    """The streams of a bus."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._streams: dict[str, _Stream] = {}
        self._added = asyncio.Condition()
        self.cuts = 0

    async def add(self, stream: str, data: bytes) -> None:
        """Append an entry."""
        async with self._added:
            self._streams.setdefault(stream, _Stream()).entries.append(data)
            self._added.notify_all()

    async def cut(self) -> None:
        """Cut every reader off, in the midst of an answer with entries in it if there are any."""
        async with self._added:
            self.cuts += 1
            self._added.notify_all()

    def wipe(self) -> None:
        """Lose everything, the groups too."""
        self._streams.clear()

    def has_group(self, stream: str, group: str) -> bool:
        """Whether the stream is there, and the group on it."""
        return stream in self._streams and group in self._streams[stream].groups

    def make_group(self, stream: str, group: str, *, is_open: bool) -> None:
        """Make a group."""
        self._streams.setdefault(stream, _Stream()).groups[group] = _Group(is_open=is_open)

    def group(self, stream: str, name: str) -> tuple[_Stream, _Group]:
        """A stream and its group."""
        if not self.has_group(stream, name):
            raise ResponseError("NOGROUP no such key or consumer group")
        found = self._streams[stream]
        return found, found.groups[name]

    async def wait(self, seconds: float) -> None:
        """Wait for an entry or a cut."""
        try:
            async with asyncio.timeout(seconds), self._added:
                await self._added.wait()
        except TimeoutError:
            return


class MemoryReader:
    """What ``events.streams.GroupReader`` is for Redis."""

    def __init__(
        self,
        memory: MemoryStreams,
        *,
        group: str,
        name: str,
        streams: Sequence[str],
        replays: bool = False,
    ) -> None:
        """Describe it."""
        self._replays = replays
        self._memory = memory
        self._group = group
        self.name = name
        self.streams = tuple(streams)
        self._cuts = memory.cuts

    async def end_reads(self) -> None:
        """See ``GroupReader``."""

    async def closed(self) -> list[str]:
        """See ``GroupReader``."""
        for name in self.streams:
            if not self._memory.has_group(name, self._group):
                self._memory.make_group(name, self._group, is_open=not self._replays)
        groups = [(name, self._memory.group(name, self._group)[1]) for name in self.streams]
        return [name for name, group in groups if not group.is_open]

    async def open(self, streams: Sequence[str]) -> None:
        """See ``GroupReader``."""
        for name in streams:
            self._memory.group(name, self._group)[1].is_open = True

    async def pending(self, stream: str, *, after: str = "", upto: str = "+") -> list[Pending]:
        """See ``GroupReader``."""
        _, group = self._memory.group(stream, self._group)
        first = _number(after) if after else -1
        last = None if upto == "+" else _number(upto)
        return [
            Pending(
                entry_id=_entry_id(number),
                owner=found.owner,
                idle=time.monotonic() - found.time,
                deliveries=found.deliveries,
            )
            for number, found in sorted(group.pending.items())
            if number > first and (last is None or number <= last)
        ][:PAGE]

    async def owns_all(self, stream: str) -> bool:
        """See ``GroupReader``."""
        _, group = self._memory.group(stream, self._group)
        return {found.owner for found in group.pending.values()} <= {self.name}

    async def take(self, stream: str, wanted: Pending, *, idle: float) -> Taken:
        """See ``GroupReader``."""
        found = self._memory.group(stream, self._group)[1].pending.get(_number(wanted.entry_id))
        if found is None:
            return Taken([], others=False)
        if found.owner != self.name and time.monotonic() - found.time < idle:
            return Taken([], others=False)
        return Taken([self._deliver(stream, _number(wanted.entry_id))], others=False)

    async def new(self, *, count: int, block: float) -> list[Entry]:
        """See ``GroupReader``."""
        found = self._new(count)
        if not found:
            await self._memory.wait(block)
            found = self._new(count)
        if self._cuts != self._memory.cuts:  # the answer is lost, the entries are delivered
            self._cuts = self._memory.cuts
            raise RedisConnectionError("cut")
        return found

    async def acknowledge(self, stream: str, entry_ids: Sequence[str]) -> None:
        """See ``GroupReader``."""
        try:
            _, group = self._memory.group(stream, self._group)
        except ResponseError:
            return  # as XACK, which is no error without a group
        for entry_id in entry_ids:
            group.pending.pop(_number(entry_id), None)

    async def renew(self, stream: str, entry_ids: Sequence[str]) -> None:
        """See ``GroupReader``."""
        self._reclaim(stream, entry_ids, time.monotonic())

    async def release(self, stream: str, entry_ids: Sequence[str]) -> None:
        """See ``GroupReader``."""
        self._reclaim(stream, entry_ids, 0)

    async def count(self, entry: Entry) -> None:
        """See ``GroupReader``."""
        self._reclaim(entry.stream, [entry.entry_id], time.monotonic(), entry.deliveries)

    async def aclose(self) -> None:
        """See ``GroupReader``."""

    def _new(self, count: int) -> list[Entry]:
        entries = []
        for name in self.streams:
            stream, group = self._memory.group(name, self._group)
            last = min(len(stream.entries), group.read + count) if group.is_open else 0
            for number in range(group.read, last):
                group.read = number + 1
                entries.append(self._deliver(name, number))
        return entries

    def _deliver(self, name: str, number: int) -> Entry:
        stream, group = self._memory.group(name, self._group)
        found = group.pending.setdefault(number, _Delivered(self.name, 0, 0))
        found.owner, found.time = self.name, time.monotonic()
        found.deliveries += 1
        return Entry(
            stream=name,
            entry_id=_entry_id(number),
            data=stream.entries[number],
            deliveries=found.deliveries,
        )

    def _reclaim(
        self, stream: str, entry_ids: Sequence[str], when: float, deliveries: int | None = None
    ) -> None:
        _, group = self._memory.group(stream, self._group)
        for entry_id in entry_ids:
            found = group.pending.get(_number(entry_id))
            if found is not None:
                found.owner, found.time = self.name, when
                found.deliveries = deliveries or found.deliveries


def _entry_id(number: int) -> str:
    return f"{number + 1}-0"


def _number(entry_id: str) -> int:
    return int(entry_id.partition("-")[0]) - 1
