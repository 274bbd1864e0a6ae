"""Bringing an event to its end: an effect that is committed, or a dead letter."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from cartsnitch_common.errors import (
    EventError,
    InboxUnavailableError,
    MalformedEnvelopeError,
    UnknownEventTypeError,
)
from cartsnitch_common.events.backoff import Backoff, Outage, heed_cancellation
from cartsnitch_common.events.delivery import DeadLetter
from cartsnitch_common.events.observe import SILENT, Outcome
from cartsnitch_common.events.opening import open_event
from cartsnitch_common.events.texts import error_place, error_reason
from cartsnitch_common.events.work import Work

if TYPE_CHECKING:
    import asyncio
    import uuid
    from collections import Counter
    from collections.abc import Awaitable, Callable, Sequence

    from cartsnitch_common.events.delivery import Chained, ConsumerOptions, FaultPoint, Inbox
    from cartsnitch_common.events.event import Event
    from cartsnitch_common.events.lanes import Take
    from cartsnitch_common.events.observe import Observer
    from cartsnitch_common.events.streams import Entry
    from cartsnitch_common.events.work import Handling

_LOG: Final = logging.getLogger(__name__)


class Settler[S]:
    """Delivers events to their handlers, with marks in the inbox."""

    def __init__(  # noqa: PLR0913 - the parts of a consumer
        self,
        inbox: Inbox[S],
        *,
        group: str,
        options: ConsumerOptions,
        counts: Counter[str],
        observer: Observer,
        point: FaultPoint | None,
        stop: asyncio.Event,
        done: Callable[[Sequence[Entry]], None],
        count: Callable[[Entry], Awaitable[None]],
    ) -> None:
        """Describe it.

        Args:
            inbox: The database side.
            group: The consumer group.
            options: How the consumer works.
            counts: The consumer's counters.
            observer: Is told what happens.
            point: The fault points.
            stop: Ends the waits.
            done: Called with entries of a stream that are to be acknowledged.
            count: Has a number of deliveries remembered.
        """
        self._inbox = inbox
        self._group = group
        self._options = options
        self._counts = counts
        self._observer = observer
        self._point = point
        self._stop = stop
        self._outage = Outage(
            _LOG, f"consumer {group}", "the database", lambda: observer.outage(group, "database")
        )
        self._done = done
        self._count = count

    def works(self, handling: Handling, entries: list[Entry]) -> list[Work]:
        """Read entries of one stream; those for another group alone are done with."""
        found, together = list[Work](), self._work(handling)
        for entry in entries:
            if entry.group not in {None, self._group}:
                self._done([entry])
                continue
            try:
                if entry.data is None:
                    raise MalformedEnvelopeError("the stream lost the entry before it was handled")
                event = open_event(entry.data, handling.kind)
            except EventError as error:
                found.append(self._work(handling, entry))
                found[-1].failure = error
                continue
            if handling.together:
                together.entries.append(entry)
                together.events.append(event)
            else:
                found.append(self._work(handling, entry, event))
        if together.entries:
            found.append(together)
        return found

    async def ready(self) -> bool:
        """Wait until the database answers, so that no delivery is spent on its outage."""
        while not self._stop.is_set():
            try:
                async with self._inbox.transaction():
                    pass
            except InboxUnavailableError as error:
                await self._outage.pause(self._stop, error.reason)
            else:
                self._outage.over()
                return True
        return False

    async def settle(self, work: Work, take: Take[Work]) -> float | None:
        """Bring work to its end.

        Args:
            work: The work.
            take: Gives what is worked on next.

        Returns:
            None, or the seconds after which to try again.
        """
        work.tried = True
        try:
            if work.failure is not None:
                await self._refuse(work, work.failure)
                return None
            while work.events:
                pause = await self._handle(work, take)
                if pause is not None:
                    return pause
        except InboxUnavailableError as error:  # which says nothing against the event
            await self._outage.pause(self._stop, error.reason)
            return 0.0
        return None

    def _work(self, handling: Handling, entry: Entry | None = None, event: Any = None) -> Work:
        options = self._options
        return Work(
            handling=handling,
            entries=[] if entry is None else [entry],
            events=[] if event is None else [event],
            backoff=Backoff(first=options.first_wait, longest=options.longest_wait),
        )

    async def _refuse(self, work: Work, failure: EventError) -> None:
        entry = work.entries[0]
        if isinstance(failure, UnknownEventTypeError):
            self._counts["skipped"] += 1
            _LOG.warning("consumer %s skips entry %s: %s", self._group, entry.entry_id, failure)
            self._observer.settled(self._group, work.handling.channel, Outcome.SKIPPED, seconds=0)
            self._done([entry])
        else:
            await self._bury(work, failure)

    async def _handle(self, work: Work, take: Take[Work]) -> float | None:
        """Deliver the next events; the seconds to wait if they have to be delivered again."""
        entry, most = work.entries[0], self._options.most_deliveries
        if entry.deliveries > most:
            work.entries[0] = replace(entry, deliveries=entry.deliveries - 1)
            await self._bury(work, EventError("the process ended in every delivery"))
            return None
        events = work.events[:1] if work.apart else work.events
        start = time.perf_counter()
        try:
            first_times = await self._deliver(work, events, take)
        except InboxUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - a handler may raise anything
            heed_cancellation()
            if len(events) > 1:
                self._log_failure(events[0], error, f"{len(events)} together")
                work.apart = True
                return 0.0
            self._told(work, Outcome.FAILED, time.perf_counter() - start)
            self._log_failure(events[0], error, f"delivery {entry.deliveries} of {most}")
            return await self._failed(work, error)
        self._outage.over()
        self._counts["handled"] += len(first_times)
        self._counts["duplicates"] += len(events) - len(first_times)
        seconds = time.perf_counter() - start
        for number in range(len(events)):
            handled = number < len(first_times)
            self._told(work, Outcome.HANDLED if handled else Outcome.DUPLICATE, seconds)
        self._leave(work, len(events))
        return None

    async def _deliver(
        self, work: Work, events: list[Event[Any]], take: Take[Work]
    ) -> set[uuid.UUID]:
        """Handle what is not marked, in one transaction; return the ids of that."""
        if self._observer is SILENT:  # which is not worth a call for each event
            return await self._transact(work, events, take)
        try:
            with ExitStack() as stack:
                for event in events:
                    stack.enter_context(self._observer.handling(self._group, event))
                return await self._transact(work, events, take)
        finally:
            if work.begun is not None:  # an observer has failed before it was entered
                work.begun.drop()
                work.begun = None

    async def _transact(
        self, work: Work, events: list[Event[Any]], take: Take[Work]
    ) -> set[uuid.UUID]:
        inbox, group, one, handling = self._inbox, self._group, events[0], work.handling
        transaction: Any = work.begun or inbox.transaction()
        work.begun = following = None
        async with transaction as session:
            if len(events) == 1:
                first = await inbox.first_time(session, group, one.event_id)
                new = {one.event_id} if first else set()
            else:
                new = await inbox.first_times(session, group, [event.event_id for event in events])
            if len(new) == len(events):
                await handling.handler([*events], session)
            elif new:
                once = {event.event_id: event for event in reversed(events)}
                todo = [event for event in events if once[event.event_id] is event]
                await handling.handler([e for e in todo if e.event_id in new], session)
            await self._reach("effect written")
            if len(work.events) == 1 and hasattr(transaction, "follow"):
                following = self._follow(transaction, take())
        begun = None if following is None else transaction.following()
        try:
            await self._reach("effect committed")
        except BaseException:
            if begun is not None:
                begun.drop()
            raise
        if following is not None:
            following.begun = begun
        return new

    def _follow(self, transaction: Chained, work: Work | None) -> Work | None:
        """Have the commit begin that work too, if nothing speaks against it.

        Another delivery may hold the mark of what was delivered before; the commit would
        wait for that.
        """
        if work is None or work.tried or len(work.events) != 1 or work.entries[0].deliveries > 1:
            return None
        transaction.follow(self._group, work.events[0].event_id)
        return work

    async def _failed(self, work: Work, error: Exception) -> float | None:
        entry = work.entries[0]
        if entry.deliveries >= self._options.most_deliveries:
            await self._bury(work, error)
            return None
        self._counts["retries"] += 1
        if entry.deliveries > 1:
            # A successor goes on counting from there, or from less after an outage.
            with suppress(RedisError):
                await self._count(entry)
        work.entries[0] = replace(entry, deliveries=entry.deliveries + 1)
        return work.backoff.next()

    async def _bury(self, work: Work, error: Exception) -> None:
        entry = work.entries[0]
        letter = DeadLetter(
            consumer=self._group,
            stream=entry.stream,
            entry_id=entry.entry_id,
            envelope=entry.data or b"",
            reason=error_reason(error),
            deliveries=entry.deliveries,
            event_id=work.events[0].event_id if work.events else None,
        )
        buried = await self._inbox.bury(letter)
        self._outage.over()
        self._counts["dead" if buried else "duplicates"] += 1
        if buried:
            _LOG.error("consumer %s gave up: %r", self._group, letter)
            self._told(work, Outcome.DEAD, 0.0)
        self._leave(work, 1)

    def _leave(self, work: Work, count: int) -> None:
        self._done(work.entries[:count])
        del work.entries[:count], work.events[:count]
        work.backoff.reset()

    def _told(self, work: Work, outcome: Outcome, seconds: float) -> None:
        self._observer.settled(self._group, work.handling.channel, outcome, seconds=seconds)

    async def _reach(self, point: str) -> None:
        if self._point is not None:
            await self._point(point)

    def _log_failure(self, event: Event[Any], error: Exception, delivery: str) -> None:
        _LOG.warning(
            "consumer %s failed on %s %s, %s: %s in %s",
            self._group,
            event.type.value,
            event.event_id,
            delivery,
            error_reason(error),
            error_place(error),
        )
