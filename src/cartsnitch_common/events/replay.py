"""Events handled again from the log, by one group, without anybody else noticing.

The inbox decides what is new: an event that Redis has lost takes effect, one that is done
does not. Within a replay the events of a key are in the log's order. Its lanes are its
own: between two of them an event of the same key may come from the stream. So replay
before the consumer runs when order matters across both, as it does by itself when its
group is gone from Redis.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from cartsnitch_common.errors import SetupError
from cartsnitch_common.events.lanes import Lanes
from cartsnitch_common.events.streams import Entry

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from cartsnitch_common.events.delivery import ConsumerOptions, DeadLetter, Inbox
    from cartsnitch_common.events.settling import Settler
    from cartsnitch_common.events.work import Handling, Work

_LOG: Final = logging.getLogger(__name__)
_LONGEST_NAME: Final = 64
"""Of a consumer in the inbox. Unit: characters."""


class LoggedEvent(Protocol):
    """An event of the log; ``event_log.Logged`` is one."""

    @property
    def id(self) -> int:
        """Ascends within a type and key."""

    @property
    def event_id(self) -> uuid.UUID:
        """The event's id."""

    @property
    def event_type(self) -> str:
        """Its type."""

    @property
    def envelope(self) -> bytes:
        """Its bytes."""


class EventLog(Protocol):
    """Where relayed events are kept; ``replay_log.SqlEventLog`` is one."""

    def read(
        self, event_types: Sequence[str], *, since_time: dt.datetime | None, since_id: int
    ) -> AsyncIterator[Sequence[LoggedEvent]]:
        """The events behind a time and an id, in pages, each key's in order.

        Raises:
            InboxUnavailableError: The database cannot be used now.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStats:
    """What a replay has done.

    Attributes:
        read: Events of the group's types that the log had.
        done: Those whose effect was there before, and was left alone.
        handled: Those that took effect now, or became dead letters.
        last_id: The last one's id in the log; a replay may go on behind it. 0 when
            there was none.
    """

    read: int
    done: int
    handled: int
    last_id: int


class Again[S]:
    """An inbox in which events are new once more, for one deliberate repetition.

    They are marked under the repetition's name as well, so that one that is broken off
    and begun again repeats nothing, and under the group's, so that the stream repeats
    nothing either.
    """

    def __init__(self, inbox: Inbox[S], group: str, name: str) -> None:
        """Stand before an inbox, for a repetition of a group's effects.

        Raises:
            SetupError: Both names together are longer than the inbox takes.
        """
        self._inbox = inbox
        self._name = f"{group}/{name}"
        if len(self._name) > _LONGEST_NAME:
            raise SetupError(f"group and repetition have more than {_LONGEST_NAME} characters")

    def transaction(self) -> AbstractAsyncContextManager[S]:
        """See ``delivery.Inbox``."""
        return self._inbox.transaction()

    async def first_time(self, session: S, consumer: str, event_id: uuid.UUID) -> bool:
        """See ``delivery.Inbox``."""
        await self._inbox.first_time(session, consumer, event_id)
        return await self._inbox.first_time(session, self._name, event_id)

    async def first_times(
        self, session: S, consumer: str, event_ids: Sequence[uuid.UUID]
    ) -> set[uuid.UUID]:
        """See ``delivery.Inbox``."""
        await self._inbox.first_times(session, consumer, event_ids)
        return await self._inbox.first_times(session, self._name, event_ids)

    async def marked(self, consumer: str, event_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """See ``delivery.Inbox``."""
        del consumer
        return await self._inbox.marked(self._name, event_ids)

    async def bury(self, letter: DeadLetter) -> bool:
        """See ``delivery.Inbox``. What the group had handled before is a dead letter too."""
        buried = await self._inbox.bury(letter) or await self._inbox.bury(
            replace(letter, event_id=None)
        )
        if letter.event_id is not None:
            async with self._inbox.transaction() as session:
                await self._inbox.first_time(session, self._name, letter.event_id)
        return buried


class Replay:
    """One pass through the log; see ``Consumer.replay``."""

    def __init__(
        self,
        inbox: Inbox[Any],
        handlings: Mapping[str, Handling],
        *,
        group: str,
        options: ConsumerOptions,
        stop: asyncio.Event,
    ) -> None:
        """Describe it."""
        self._inbox = inbox
        self._handlings = handlings
        self._group = group
        self._options = options
        self._stop = stop
        self._in_hand = 0
        self._left = asyncio.Event()
        self._read = self._done = self._handled = self._last_id = 0

    async def run(
        self,
        log: EventLog,
        make_settler: Callable[[Callable[[Sequence[Entry]], None]], Settler[Any]],
        *,
        since_time: dt.datetime | None,
        since_id: int,
    ) -> ReplayStats:
        """Handle what the log has, to its end or until stopped."""
        streams = {handling.channel: stream for stream, handling in self._handlings.items()}
        settler = make_settler(self._leave)
        lanes: Lanes[Work] = Lanes(
            settler.settle, concurrency=self._options.concurrency, stop=self._stop
        )
        try:
            async for page in log.read([*streams], since_time=since_time, since_id=since_id):
                if not await settler.ready():
                    break
                marked = await self._inbox.marked(self._group, [row.event_id for row in page])
                for row in page:
                    if row.event_id not in marked:
                        await self._room(lanes)
                        self._begin(row, streams[row.event_type], settler, lanes)
                self._read += len(page)
                self._done += len(marked)
                await self._room(lanes, most=0)  # so that last_id says what is done
                if self._stop.is_set():
                    break
                self._last_id = page[-1].id
            await lanes.close(grace=self._options.grace)
        finally:
            await lanes.cancel()
        return ReplayStats(
            read=self._read, done=self._done, handled=self._handled, last_id=self._last_id
        )

    def _begin(
        self, row: LoggedEvent, stream: str, settler: Settler[Any], lanes: Lanes[Work]
    ) -> None:
        entry = Entry(stream=stream, entry_id=f"log-{row.id}", data=row.envelope)
        self._in_hand += 1
        for work in settler.works(self._handlings[stream], [entry]):
            lanes.put(work.key, work)

    async def _room(self, lanes: Lanes[Work], *, most: int | None = None) -> None:
        limit = 2 * self._options.batch_size if most is None else most
        while self._in_hand > limit and not self._stop.is_set():
            lanes.check()
            self._left.clear()
            try:
                async with asyncio.timeout(self._options.block):
                    await self._left.wait()
            except TimeoutError:
                continue

    def _leave(self, entries: Sequence[Entry]) -> None:
        self._in_hand -= len(entries)
        self._handled += len(entries)
        self._left.set()


def say(group: str, stats: ReplayStats) -> None:
    """Tell of a replay that has ended."""
    _LOG.warning(
        "consumer %s replayed the log: %d events, %d were done, %d handled now, up to id %d",
        group,
        stats.read,
        stats.done,
        stats.handled,
        stats.last_id,
    )
