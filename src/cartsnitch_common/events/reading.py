"""Reading a group's streams so that order holds within a key, whoever else reads them.

Redis hands the entries of a stream to the consumers of a group as they ask, so that two
of them may hold events of one key. Order holds by one rule: an entry is handled only
when everything before it in the stream is acknowledged, or in this consumer's own hand
and before it. What another consumer has is waited for, and taken over when that one
has not been heard for ``claim_after``. Should both of them then handle it, the inbox
lets one: the other goes on only when the first has committed.
"""

from __future__ import annotations

import asyncio
import logging
import math
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from cartsnitch_common.events.backoff import Outage, rest
from cartsnitch_common.events.client import redis_reason
from cartsnitch_common.events.streams import PAGE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from cartsnitch_common.events.delivery import ConsumerOptions, FaultPoint
    from cartsnitch_common.events.hand import Hand
    from cartsnitch_common.events.lanes import Lanes
    from cartsnitch_common.events.settling import Settler
    from cartsnitch_common.events.streams import Entry, GroupReader, Pending
    from cartsnitch_common.events.work import Handling, Work

_LOG: Final = logging.getLogger(__name__)
_SHORTEST_LOOK: Final = 0.01
_LONGEST_LOOK: Final = 0.1
"""Unit: seconds between two looks at what another consumer has in hand."""
_LAST: Final = "+"
"""The end of a stream, for Redis."""
LATE: Final = 90.0
"""Unit: seconds after which the log has all that was on Redis: more than a relay's batch may
take, which puts events on Redis first and into the log when it commits."""


class Reading:
    """Takes entries in hand and puts them into their lanes."""

    def __init__(  # noqa: PLR0913 - the parts of a consumer
        self,
        reader: GroupReader,
        *,
        handlings: Mapping[str, Handling],
        hand: Hand,
        lanes: Lanes[Work],
        settler: Settler[Any],
        options: ConsumerOptions,
        outage: Outage,
        point: FaultPoint | None,
        regroup: Callable[[float | None], Awaitable[None]],
    ) -> None:
        """Describe it.

        Args:
            reader: The streams.
            handlings: What is done with the events of each.
            hand: What is in hand.
            lanes: The work.
            settler: Reads envelopes.
            options: How the consumer works.
            outage: Redis's.
            point: The fault points.
            regroup: Called when the group is closed on a stream, before it is opened; and
                again when the log is complete, with how many seconds ago that was.
        """
        self._reader = reader
        self._handlings = handlings
        self._hand = hand
        self._lanes = lanes
        self._settler = settler
        self._options = options
        self._outage = outage
        self._point = point
        self._regroup = regroup
        self._astray = set(reader.streams)
        """Streams that may have delivered to this consumer what it does not have in hand."""

    async def run(self, stop: asyncio.Event) -> None:
        """Read until stopped, through outages of Redis."""
        recovering, look_time, late_time = True, 0.0, math.inf
        clock = asyncio.get_running_loop().time
        while not stop.is_set():
            self._lanes.check()
            try:
                if recovering:
                    await self._reader.end_reads()
                if recovering or clock() >= look_time:
                    if closed := await self._reader.closed():
                        await self._regroup(None)
                        if stop.is_set():
                            break
                        await self._reader.open(closed)
                        late_time = clock() + LATE
                    for stream in self._reader.streams:
                        await self._look(stream, stop)
                    recovering, look_time = False, clock() + self._options.claim_after / 4
                if clock() >= late_time:
                    await self._regroup(LATE)
                    late_time = math.inf
                await self._read_new(stop)
            except RedisError as error:
                # An answer may be lost with entries in it, and a wiped Redis has lost
                # the group: begin again with the group and what is pending.
                recovering = True
                self._astray.update(self._reader.streams)
                await self._outage.pause(stop, redis_reason(error))
            else:
                self._outage.over()

    async def renew(self, stop: asyncio.Event) -> None:
        """Say again and again what is in hand, so that nobody else takes it over."""
        while not stop.is_set():
            await rest(stop, max(0.05, self._options.claim_after / 3))
            try:
                for stream in self._reader.streams:
                    if held := [*self._hand.of(stream)]:
                        await self._reader.renew(stream, held)
            except RedisError:
                continue  # the other loop says what is wrong

    async def _read_new(self, stop: asyncio.Event) -> None:
        if len(self._hand) > self._options.batch_size:
            await self._hand.left(self._options.block)
            return
        found = await self._reader.new(count=self._options.batch_size, block=self._options.block)
        if found and self._point is not None:
            await self._point("entry read")
        batches = [(stream, [*of]) for stream, of in groupby(found, lambda entry: entry.stream)]
        for stream, entries in batches:
            self._hand.take(stream, [entry.entry_id for entry in entries])
        try:
            while batches and not stop.is_set():
                if await self._is_next(*batches[0], stop):
                    self._begin(*batches.pop(0))
        except RedisError:
            for stream, entries in batches:  # they are pending, and found there
                self._hand.drop(stream, [entry.entry_id for entry in entries])
            raise

    async def _is_next(self, stream: str, entries: list[Entry], stop: asyncio.Event) -> bool:
        """Wait until nothing before some new entries is with another consumer."""
        wait = _SHORTEST_LOOK
        while not stop.is_set():
            # The short way: what is this consumer's is in its hand, if nothing went astray.
            if stream not in self._astray and await self._reader.owns_all(stream):
                return True
            if await self._look(stream, stop, upto=entries[-1].entry_id):
                return True
            self._lanes.check()
            await rest(stop, wait)
            wait = min(2 * wait, _LONGEST_LOOK)
        return False

    async def _look(self, stream: str, stop: asyncio.Event, *, upto: str = _LAST) -> bool:
        """Bring what is pending and not in hand to its end, as far as it is ours to take.

        Returns:
            Whether nothing else is pending up to there.
        """
        after = ""
        while not stop.is_set():
            held = {*self._hand.of(stream)}  # before the question: what is done leaves it
            page = await self._reader.pending(stream, after=after, upto=upto)
            for pending in page:
                if pending.entry_id not in held and not await self._take_over(
                    stream, pending, stop
                ):
                    return False
            if len(page) < PAGE:
                if upto == _LAST:  # what went astray may be behind what is waited for
                    self._astray.discard(stream)
                return True
            after = page[-1].entry_id
        return False

    async def _take_over(self, stream: str, pending: Pending, stop: asyncio.Event) -> bool:
        idle = self._options.claim_after
        if pending.owner != self._reader.name and pending.idle < idle:
            return False
        if not await self._settler.ready():
            return False
        taken = await self._reader.take(stream, pending, idle=idle)
        if taken.others:
            self._astray.add(stream)
        for entry in taken.entries:
            # One by one: Redis counts a delivery, and one may end the process.
            self._hand.take(stream, [entry.entry_id])
            self._begin(stream, [entry])
            while entry.entry_id in self._hand.of(stream):
                if stop.is_set():
                    return False
                self._lanes.check()
                await self._hand.left(self._options.block)
        # Nothing: it is done, or its owner has given word since. Only another look tells.
        return bool(taken.entries)

    def _begin(self, stream: str, entries: list[Entry]) -> None:
        for work in self._settler.works(self._handlings[stream], entries):
            self._lanes.put(work.key, work)
