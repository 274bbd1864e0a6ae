"""The bus's adapters under one face, and what each of them can do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from enum import Flag, auto
from typing import Any, Protocol

from google.protobuf.message import Message
from redis.asyncio import Redis

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.contract.bindings import stream_name
from cartsnitch_common.events import Consumer, ConsumerOptions, Event, encode, wrap
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.ports import DurableConsumer, Publisher, Subscriber
from cartsnitch_common.events.pubsub import PubSub
from cartsnitch_common.testing.bus import MemoryBus
from cartsnitch_common.testing.memory_inbox import MemoryInbox

OPTIONS = ConsumerOptions(block=0.05, first_wait=0.01, longest_wait=0.02)


class Can(Flag):
    """What a way to listen promises beyond being heard while the connection stands."""

    NOTHING = 0
    KEEP = auto()
    """What was published before anybody listened, or during a cut, arrives later."""
    ONCE = auto()
    """What is on the wire twice is handled once."""
    RETRY = auto()
    """A handler that fails is called again."""


class Listener:
    """What one listener got."""

    def __init__(self) -> None:
        self.events: list[Event[Any]] = []
        self.failures = 0
        self.refused: Callable[[], int] = lambda: 0
        self.unknown: Callable[[], int] = lambda: 0
        self.cuts: Callable[[], int] = lambda: 0

    @property
    def keys(self) -> list[str]:
        """The keys of the events, in their order."""
        return [event.key for event in self.events]

    async def until(self, count: int) -> None:
        """Wait for so many events."""
        async with asyncio.timeout(10):
            while len(self.events) < count:  # noqa: ASYNC110 - a list tells
                await asyncio.sleep(0.01)


type Handle = Callable[[Event[Any]], Awaitable[None]]


class Adapter(Protocol):
    """One way to publish and to listen."""

    can: Can

    async def publish(
        self, payload: Message, *, service: str, key: str, **context: Any
    ) -> Envelope:
        """Publish an event."""

    async def publish_raw(self, channel: str, data: bytes) -> None:
        """Put bytes where an event would be."""

    def listen(
        self, *kinds: type[Message], group: str = "stickershock", handle: Handle | None = None
    ) -> AbstractAsyncContextManager[Listener]:
        """Listen as a group, with something to do with each event."""

    async def cut(self) -> None:
        """Break the connections of the listeners."""


async def _nothing(_event: Event[Any]) -> None:
    """A handler that is content."""


@asynccontextmanager
async def subscribed(
    subscriber: Subscriber, kinds: tuple[type[Message], ...], handle: Handle | None
) -> AsyncIterator[Listener]:
    listener, work = Listener(), handle or _nothing
    async with subscriber.subscribe(*kinds) as events:
        listener.refused = lambda: events.stats.malformed
        listener.unknown = lambda: events.stats.unknown
        listener.cuts = lambda: events.stats.cuts

        async def hear() -> None:
            async for event in events:
                try:
                    await work(event)
                except ValueError:
                    listener.failures += 1
                else:
                    listener.events.append(event)

        task = asyncio.create_task(hear())
        try:
            yield listener
        finally:
            task.cancel()
            await asyncio.wait([task])


@asynccontextmanager
async def consuming(
    consumer: DurableConsumer[Any], kinds: tuple[type[Message], ...], handle: Handle | None
) -> AsyncIterator[Listener]:
    listener, work = Listener(), handle or _nothing

    async def handler(event: Event[Any], _session: Any) -> None:
        try:
            await work(event)
        except ValueError:
            listener.failures += 1
            raise
        listener.events.append(event)

    for kind in kinds:
        consumer.on(kind)(handler)
    listener.refused = lambda: consumer.stats.dead
    listener.unknown = lambda: consumer.stats.skipped
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run(stop))
        try:
            yield listener
        finally:
            stop.set()


class RedisPubSub:
    """Plain pub/sub on Redis."""

    can = Can.NOTHING

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._bus = PubSub(redis)
        self.publish = self._bus.publish

    async def publish_raw(self, channel: str, data: bytes) -> None:
        """See ``Adapter``."""
        await self._redis.publish(channel, data)

    def listen(
        self, *kinds: type[Message], group: str = "", handle: Handle | None = None
    ) -> AbstractAsyncContextManager[Listener]:
        """See ``Adapter``."""
        del group
        return subscribed(self._bus, kinds, handle)

    async def cut(self) -> None:
        """See ``Adapter``."""
        await self._redis.client_kill_filter(_type="pubsub")


class RedisStreams:
    """Streams on Redis with the inbox in PostgreSQL; what is published is what the relay does."""

    can = Can.KEEP | Can.ONCE | Can.RETRY

    def __init__(self, redis: Redis, sessions: Any) -> None:
        self._redis = redis
        self._sessions = sessions

    async def publish(
        self, payload: Message, *, service: str, key: str, **context: Any
    ) -> Envelope:
        """See ``Adapter``."""
        envelope = wrap(payload, service=service, key=key, **context)
        await self.publish_raw(envelope.event_type, encode(envelope))
        return envelope

    async def publish_raw(self, channel: str, data: bytes) -> None:
        """See ``Adapter``."""
        await self._redis.xadd(stream_name(channel), {"e": data})

    def listen(
        self, *kinds: type[Message], group: str = "stickershock", handle: Handle | None = None
    ) -> AbstractAsyncContextManager[Listener]:
        """See ``Adapter``."""
        consumer = Consumer(self._redis, SqlInbox(self._sessions), group=group, options=OPTIONS)
        return consuming(consumer, kinds, handle)

    async def cut(self) -> None:
        """See ``Adapter``."""
        await self._redis.client_kill_filter(_type="normal", skipme=True)


class MemoryPubSub:
    """The published fake's pub/sub."""

    can = Can.NOTHING

    def __init__(self) -> None:
        self._bus = MemoryBus()
        self.publish, self.publish_raw = self._bus.publish, self._bus.publish_raw
        self.cut = self._bus.cut

    def listen(
        self, *kinds: type[Message], group: str = "", handle: Handle | None = None
    ) -> AbstractAsyncContextManager[Listener]:
        """See ``Adapter``."""
        del group
        return subscribed(self._bus, kinds, handle)


class MemoryStreams:
    """The published fake's durable consumer."""

    can = Can.KEEP | Can.ONCE | Can.RETRY

    def __init__(self) -> None:
        self._bus = MemoryBus()
        self._inbox = MemoryInbox()
        self.publish, self.publish_raw = self._bus.publish, self._bus.publish_raw
        self.cut = self._bus.cut

    def listen(
        self, *kinds: type[Message], group: str = "stickershock", handle: Handle | None = None
    ) -> AbstractAsyncContextManager[Listener]:
        """See ``Adapter``."""
        consumer = self._bus.consumer(self._inbox, group=group, options=OPTIONS)
        return consuming(consumer, kinds, handle)


def publisher(adapter: Adapter) -> Publisher:
    """The adapter as the port that a service is given."""
    return adapter
