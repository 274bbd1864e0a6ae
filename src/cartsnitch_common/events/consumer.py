"""The durable consumer: every event at least once, its effect once, in order per key.

It reads a stream for each payload that it has a handler for, as one consumer of a
group. Events of different keys are handled at once, ``ConsumerOptions.concurrency`` of
them; events of one type and key in the stream's order. That order holds in the whole
group, however many processes run in it, under a name each: see ``reading``. Several
processes are for availability, one after the other; concurrency is for speed.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from cartsnitch_common.contract import binding_of
from cartsnitch_common.errors import InboxUnavailableError, SetupError
from cartsnitch_common.events.acks import Acknowledger
from cartsnitch_common.events.backoff import Outage, rest
from cartsnitch_common.events.client import require_safe
from cartsnitch_common.events.delivery import ConsumerOptions, ConsumerStats
from cartsnitch_common.events.hand import Hand
from cartsnitch_common.events.lanes import Lanes
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.reading import Reading
from cartsnitch_common.events.replay import Again, Replay, say
from cartsnitch_common.events.settling import Settler
from cartsnitch_common.events.streams import GroupReader
from cartsnitch_common.events.texts import one_line
from cartsnitch_common.events.work import Handling

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from google.protobuf.message import Message

    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.delivery import BatchHandler, FaultPoint, Handler, Inbox
    from cartsnitch_common.events.event import Event
    from cartsnitch_common.events.observe import Observer
    from cartsnitch_common.events.replay import EventLog, ReplayStats
    from cartsnitch_common.events.streams import Entry

_LOG: Final = logging.getLogger(__name__)


class Consumer[S]:
    """Handles events of some types; see ``inbox.SqlInbox`` for an example."""

    def __init__(
        self,
        redis: RedisClient,
        inbox: Inbox[S],
        *,
        group: str,
        options: ConsumerOptions | None = None,
        log: EventLog | None = None,
        observer: Observer = SILENT,
        fault_point: FaultPoint | None = None,
    ) -> None:
        """Describe a consumer. Nothing is opened before it runs.

        Args:
            redis: A client of ``async_redis``.
            inbox: The database side.
            group: The consumer group: the service's name.
            options: How it works.
            log: The log of relayed events. When the group is gone from Redis, what is in it
                and has no effect is handled before what Redis has.
            observer: Is told what it does.
            fault_point: For tests: called between the steps of an event.

        Raises:
            SetupError: The client is none of ``async_redis``, or waits less long for
                an answer than the consumer for an event.
        """
        self._redis = redis
        self._inbox = inbox
        self._group = group
        self._options = options or ConsumerOptions()
        self._log = log
        self._observer = observer
        self._point = fault_point
        self._handlings: dict[str, Handling] = {}
        self._counts: Counter[str] = Counter()
        self._require_client()

    @property
    def stats(self) -> ConsumerStats:
        """A snapshot of the counters."""
        names = ConsumerStats.__dataclass_fields__
        return ConsumerStats(**{name: self._counts[name] for name in names})

    def on[P: Message](self, kind: type[P]) -> Callable[[Handler[P, S]], Handler[P, S]]:
        """Make a function the handler of a payload.

        Raises:
            UnknownEventTypeError: The class is no payload of an event.
            SetupError: It has a handler already.
        """

        def register(handler: Handler[P, S]) -> Handler[P, S]:
            async def handle(events: Sequence[Event[P]], session: S) -> None:
                await handler(events[0], session)

            self._register(kind, handle, together=False)
            return handler

        return register

    def on_batch[P: Message](
        self, kind: type[P]
    ) -> Callable[[BatchHandler[P, S]], BatchHandler[P, S]]:
        """Make a function the handler of a payload that takes what was read at once.

        It is called with up to ``ConsumerOptions.batch_size`` events in the stream's order,
        none of which has had an effect, and one transaction for all of them; the batches of
        a stream one after the other. A batch that fails is handled event by event.

        Raises:
            UnknownEventTypeError: The class is no payload of an event.
            SetupError: It has a handler already.
        """

        def register(handler: BatchHandler[P, S]) -> BatchHandler[P, S]:
            self._register(kind, handler, together=True)
            return handler

        return register

    async def run(self, stop: asyncio.Event) -> None:
        """Handle events until ``stop`` is set, through outages of either server.

        What is under way is handled to its end, committed and acknowledged first.

        Raises:
            SetupError: There is no handler.
        """
        if not self._handlings:
            raise SetupError(f"consumer {self._group} has no handler")
        reader = self._reader()
        hand = Hand(reader.streams)
        acks = Acknowledger(reader, hand, self._point, enough=self._options.batch_size // 2)
        settler = self._settler(self._inbox, stop, done=acks.add, count=reader.count)
        lanes = Lanes(settler.settle, concurrency=self._options.concurrency, stop=stop)
        reading = Reading(
            reader,
            handlings=self._handlings,
            hand=hand,
            lanes=lanes,
            settler=settler,
            options=self._options,
            outage=self._redis_outage(),
            point=self._point,
            regroup=lambda age: self._replay_lost(stop, age),
        )
        ended = asyncio.Event()
        tasks = [asyncio.create_task(acks.run()), asyncio.create_task(reading.renew(ended))]
        lanes.watch(tasks)
        try:
            await reading.run(stop)
            await lanes.close(grace=self._options.grace)
            ended.set()
            acks.close()
            await asyncio.gather(*tasks)
            lanes.check()
            await self._release(reader, hand)
        finally:
            for task in tasks:  # before the first wait: who is cancelled twice leaves none behind
                task.cancel()
            try:
                await lanes.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                await reader.aclose()

    async def replay(
        self,
        log: EventLog,
        *,
        since_time: dt.datetime | None = None,
        since_id: int = 0,
        again: str | None = None,
        stop: asyncio.Event | None = None,
    ) -> ReplayStats:
        """Handle events of the log, with the handlers of this consumer; Redis takes no part.

        What is done is left alone. Several processes may replay, and the consumer may
        run meanwhile: each effect is made once.

        Args:
            log: The log, such as ``replay_log.SqlEventLog``.
            since_time: Begin with what was relayed then; by default with all that is kept.
            since_id: Begin behind this id of the log.
            again: Repeat effects that are there already, each once more under this name,
                such as ``2026-03-10``. The handlers must be made for that.
            stop: Ends it early, when the events under way are done.

        Raises:
            SetupError: There is no handler, or the repetition's name is too long.
            InboxUnavailableError: The log's database cannot be used now.
        """
        if not self._handlings:
            raise SetupError(f"consumer {self._group} has no handler")
        stop = stop or asyncio.Event()
        inbox: Inbox[S] = self._inbox
        if again is not None:
            _LOG.warning("consumer %s repeats effects, as %s", self._group, one_line(again))
            inbox = Again(inbox, self._group, again)
        replay = Replay(inbox, self._handlings, group=self._group, options=self._options, stop=stop)
        stats = await replay.run(
            log,
            lambda done: self._settler(inbox, stop, done=done, count=_uncounted),
            since_time=since_time,
            since_id=since_id,
        )
        say(self._group, stats)
        return stats

    async def _replay_lost(self, stop: asyncio.Event, age: float | None) -> None:
        """Bring back what Redis had when it lost the group, before what it has now."""
        if self._log is None:
            return
        since = None if age is None else dt.datetime.now(dt.UTC) - dt.timedelta(seconds=3 * age)
        while not stop.is_set():
            try:
                await self.replay(self._log, since_time=since, stop=stop)
            except InboxUnavailableError as error:
                _LOG.warning("consumer %s cannot read the log: %s", self._group, error.reason)
                await rest(stop, 1.0)
            else:
                return

    def _settler(
        self,
        inbox: Inbox[S],
        stop: asyncio.Event,
        *,
        done: Callable[[Sequence[Entry]], None],
        count: Callable[[Entry], Awaitable[None]],
    ) -> Settler[S]:
        return Settler(
            inbox,
            group=self._group,
            options=self._options,
            counts=self._counts,
            observer=self._observer,
            point=self._point,
            stop=stop,
            done=done,
            count=count,
        )

    async def _release(self, reader: GroupReader, hand: Hand) -> None:
        """Leave what was not begun to the others, who need not wait for it."""
        with suppress(RedisError):  # they wait
            for stream in reader.streams:
                await reader.release(stream, [*hand.of(stream)])

    # The next two are all that knows Redis; the bus in memory has others.

    def _require_client(self) -> None:
        require_safe(self._redis, block=self._options.block)

    def _reader(self) -> GroupReader:
        return GroupReader(
            self._redis,
            group=self._group,
            name=self._options.name,
            streams=[*self._handlings],
            replays=self._log is not None,
        )

    def _redis_outage(self) -> Outage:
        return Outage(
            _LOG,
            f"consumer {self._group}",
            "Redis",
            lambda: self._observer.outage(self._group, "redis"),
        )

    def _register(self, kind: type[Message], handler: Any, *, together: bool) -> None:
        binding = binding_of(kind)
        if binding.stream in self._handlings:
            raise SetupError(f"{kind.DESCRIPTOR.name} has a handler already")
        self._handlings[binding.stream] = Handling(
            kind=kind, channel=binding.channel, handler=handler, together=together
        )


async def _uncounted(_entry: Entry) -> None:
    """A delivery out of the log, of which Redis knows nothing."""
