"""The durable consumer: every event at least once, its effect once, in order per key.

It reads a stream for each payload that it has a handler for, as one consumer of a
group. The group's events are in order per key as long as one process of the group
runs at a time, under one name; that is what ``ConsumerOptions.name`` is for.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisError

from cartsnitch_common.contract import binding_of
from cartsnitch_common.errors import (
    EventError,
    InboxUnavailableError,
    MalformedEnvelopeError,
    SetupError,
    UnknownEventTypeError,
)
from cartsnitch_common.events.backoff import Backoff, Outage, heed_cancellation
from cartsnitch_common.events.client import redis_reason, require_safe
from cartsnitch_common.events.delivery import ConsumerOptions, ConsumerStats, DeadLetter
from cartsnitch_common.events.envelope import decode
from cartsnitch_common.events.event import event_from
from cartsnitch_common.events.streams import GroupReader
from cartsnitch_common.events.texts import error_place, error_reason

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from google.protobuf.message import Message

    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.delivery import Handler, Inbox
    from cartsnitch_common.events.event import Event
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
    ) -> None:
        """Describe a consumer. Nothing is opened before it runs.

        Args:
            redis: A client of ``async_redis``.
            inbox: The database side.
            group: The consumer group: the service's name.
            options: How it works.

        Raises:
            SetupError: The client is none of ``async_redis``, or waits less long for
                an answer than the consumer for an event.
        """
        require_safe(redis, block=(options or ConsumerOptions()).block)
        self._redis = redis
        self._inbox = inbox
        self._group = group
        self._options = options or ConsumerOptions()
        self._handlers: dict[str, tuple[type[Message], Handler[Any, S]]] = {}
        self._counts: Counter[str] = Counter()
        self._redis_outage = Outage(_LOG, f"consumer {group}", "Redis")
        self._inbox_outage = Outage(_LOG, f"consumer {group}", "the database")

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
        stream = binding_of(kind).stream

        def register(handler: Handler[P, S]) -> Handler[P, S]:
            if stream in self._handlers:
                raise SetupError(f"{kind.DESCRIPTOR.name} has a handler already")
            self._handlers[stream] = (kind, handler)
            return handler

        return register

    async def run(self, stop: asyncio.Event) -> None:
        """Handle events until ``stop`` is set, through outages of either server.

        The event in hand is handled to its end, committed and acknowledged first.

        Raises:
            SetupError: There is no handler.
        """
        if not self._handlers:
            raise SetupError(f"consumer {self._group} has no handler")
        reader = GroupReader(
            self._redis, group=self._group, name=self._options.name, streams=[*self._handlers]
        )
        recovering = True
        claim_time = 0.0
        clock = asyncio.get_running_loop().time
        async with aclosing(reader):
            while not stop.is_set():
                try:
                    if recovering:
                        await self._recover(reader, stop)
                        recovering = False
                    if clock() >= claim_time:
                        await self._claim(reader, stop)
                        claim_time = clock() + self._options.claim_after / 4
                    await self._handle_new(reader, stop)
                except RedisError as error:
                    # An answer may be lost with entries in it, and a wiped Redis has lost
                    # the group: begin again with the group and what is pending.
                    recovering = True
                    await self._redis_outage.pause(stop, redis_reason(error))
                else:
                    self._redis_outage.over()

    async def _recover(self, reader: GroupReader, stop: asyncio.Event) -> None:
        await reader.create_groups()
        for stream in reader.streams:
            while await self._is_ready(stop):
                entry = await reader.own_pending(stream)
                if entry is None:
                    break
                await self._settle(reader, entry, stop)

    async def _claim(self, reader: GroupReader, stop: asyncio.Event) -> None:
        for stream in reader.streams:
            while await self._is_ready(stop):
                entries = await reader.claim(stream, idle=self._options.claim_after)
                if not entries:
                    break
                for entry in entries:
                    await self._settle(reader, entry, stop)

    async def _handle_new(self, reader: GroupReader, stop: asyncio.Event) -> None:
        if stop.is_set():
            return
        for entry in await reader.new(count=self._options.batch_size, block=self._options.block):
            if stop.is_set():
                return  # the rest stays pending, for the next start
            await self._settle(reader, entry, stop)

    async def _is_ready(self, stop: asyncio.Event) -> bool:
        """Wait until the database answers, so that no delivery is spent on its outage."""
        while not stop.is_set():
            try:
                async with self._inbox.transaction():
                    pass
            except InboxUnavailableError as error:
                await self._inbox_outage.pause(stop, error.reason)
            else:
                self._inbox_outage.over()
                return True
        return False

    async def _settle(self, reader: GroupReader, entry: Entry, stop: asyncio.Event) -> None:
        """Bring an entry to its end and acknowledge it; stopped before, it stays pending."""
        kind, handler = self._handlers[entry.stream]
        try:
            if entry.data is None:
                raise MalformedEnvelopeError("the stream lost the entry before it was handled")
            event = event_from(decode(entry.data), kind)
        except UnknownEventTypeError as error:
            self._counts["skipped"] += 1
            _LOG.warning("consumer %s skips entry %s: %s", self._group, entry.entry_id, error)
            done = True
        except EventError as error:
            done = await self._bury(_letter(self._group, entry, error), stop)
        else:
            done = await self._handle(entry, event, handler, stop)
        if done:
            await reader.acknowledge(entry)

    async def _handle(
        self, entry: Entry, event: Event[Any], handler: Handler[Any, S], stop: asyncio.Event
    ) -> bool:
        """Deliver an event until its effect is committed or it is a dead letter."""
        options = self._options
        backoff = Backoff(first=options.first_wait, longest=options.longest_wait)
        deliveries = entry.deliveries
        failure: Exception = EventError("the process ended in every delivery")
        while deliveries <= options.most_deliveries:
            try:
                await self._deliver(event, handler)
            except InboxUnavailableError as error:  # which says nothing against the event
                await self._inbox_outage.pause(stop, error.reason)
                if stop.is_set():
                    return False
                continue
            except Exception as error:  # noqa: BLE001 - a handler may raise anything
                heed_cancellation()
                failure = error
                self._log_failure(event, error, deliveries)
            else:
                self._inbox_outage.over()
                return True
            deliveries += 1
            if deliveries <= options.most_deliveries:
                await backoff.rest(stop)
                if stop.is_set():
                    return False
                self._counts["retries"] += 1
        tried = replace(entry, deliveries=deliveries - 1)
        return await self._bury(_letter(self._group, tried, failure, event.event_id), stop)

    async def _deliver(self, event: Event[Any], handler: Handler[Any, S]) -> None:
        async with self._inbox.transaction() as session:
            first_time = await self._inbox.first_time(session, self._group, event.event_id)
            if first_time:
                await handler(event, session)
        self._counts["handled" if first_time else "duplicates"] += 1

    async def _bury(self, letter: DeadLetter, stop: asyncio.Event) -> bool:
        while True:
            try:
                buried = await self._inbox.bury(letter)
            except InboxUnavailableError as error:
                await self._inbox_outage.pause(stop, error.reason)
                if stop.is_set():
                    return False
                continue
            self._inbox_outage.over()
            self._counts["dead" if buried else "duplicates"] += 1
            if buried:
                _LOG.error("consumer %s gave up: %r", self._group, letter)
            return True

    def _log_failure(self, event: Event[Any], error: Exception, delivery: int) -> None:
        _LOG.warning(
            "consumer %s failed on %s %s, delivery %d of %d: %s in %s",
            self._group,
            event.type.value,
            event.event_id,
            delivery,
            self._options.most_deliveries,
            error_reason(error),
            error_place(error),
        )


def _letter(
    group: str, entry: Entry, error: Exception, event_id: uuid.UUID | None = None
) -> DeadLetter:
    return DeadLetter(
        consumer=group,
        stream=entry.stream,
        entry_id=entry.entry_id,
        envelope=entry.data or b"",
        reason=error_reason(error),
        deliveries=entry.deliveries,
        event_id=event_id,
    )
