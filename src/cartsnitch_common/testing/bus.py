"""The event bus in memory: the real consumer and subscription over a transport that is a dict.

    bus = MemoryBus()
    inbox = MemoryInbox()
    consumer = bus.consumer(inbox, group="stickershock")
    consumer.on(PricesUpdated)(detect)

Envelopes are made, checked, encoded and decoded as on Redis, and it is the code for Redis that
retries, orders, marks and gives up; so what fails there fails here. It is for one process.
On request it fails more often: ``duplicates``, ``cut``, ``wipe``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Unpack

from redis.exceptions import ConnectionError as RedisConnectionError

from cartsnitch_common.contract.bindings import stream_name
from cartsnitch_common.events.consumer import Consumer
from cartsnitch_common.events.envelope import encode, wrap
from cartsnitch_common.events.pubsub import Subscription
from cartsnitch_common.testing.memory_streams import MemoryReader, MemoryStreams

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from cartsnitch.event.v1 import Envelope
    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.delivery import ConsumerOptions, FaultPoint, Inbox
    from cartsnitch_common.events.envelope import EventContext
    from cartsnitch_common.events.observe import Observer
    from cartsnitch_common.events.streams import GroupReader

MOST_UNREAD = 10_000
"""Messages that wait for a subscription, beyond which it is cut off as Redis would."""


class MemoryBus:
    """A publisher, a subscriber, and the maker of durable consumers.

    Attributes:
        duplicates: How often an event is repeated on the wire, after the first time.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.duplicates = 0
        self.streams = MemoryStreams()
        self._listening: list[_MemoryPubSub] = []

    async def publish(
        self,
        payload: Message,
        *,
        service: Service | str,
        key: str,
        **context: Unpack[EventContext],
    ) -> Envelope:
        """Publish an event on its channel and its stream, as the relay does.

        Raises:
            EventError: The event is refused; see ``events.wrap``.
            InvalidFieldError: A rule of the contract is broken.
        """
        envelope = wrap(payload, service=service, key=key, **context)
        data = encode(envelope)
        for _ in range(1 + self.duplicates):
            await self.publish_raw(envelope.event_type, data)
        return envelope

    async def publish_raw(self, channel: str, data: bytes) -> None:
        """Put bytes on a channel and its stream, whatever they are."""
        for listening in self._listening:
            listening.hear(channel, data)
        await self.streams.add(stream_name(channel), data)

    def subscribe[P: Message](self, kind: type[P], *kinds: type[P]) -> Subscription[P]:
        """Listen on the channels of some payloads; see ``events.subscribe``."""
        redis: Any = self  # a subscription asks for nothing but ``pubsub``
        return Subscription(redis, (kind, *kinds))

    def consumer[S](
        self,
        inbox: Inbox[S],
        *,
        group: str,
        options: ConsumerOptions | None = None,
        observer: Observer | None = None,
        fault_point: FaultPoint | None = None,
    ) -> Consumer[S]:
        """A durable consumer of this bus; see ``events.Consumer``.

        Args:
            inbox: Such as ``memory_inbox.MemoryInbox``, or a real one.
            group: The consumer group.
            options: How it works.
            observer: Is told what it does.
            fault_point: Called between the steps of an event.
        """
        more = {} if observer is None else {"observer": observer}
        made = _MemoryConsumer(inbox, group=group, options=options, fault_point=fault_point, **more)
        made.streams = self.streams
        return made

    def pubsub(self) -> _MemoryPubSub:
        """What a subscription listens with."""
        return _MemoryPubSub(self._listening)

    async def cut(self) -> None:
        """Break every connection. What is published until they are made anew is not heard."""
        for listening in [*self._listening]:
            listening.break_off()
        await self.streams.cut()

    def wipe(self) -> None:
        """Lose all streams and groups."""
        self.streams.wipe()


class _MemoryConsumer[S](Consumer[S]):
    streams: MemoryStreams

    def __init__(self, inbox: Inbox[S], **options: Any) -> None:
        redis: Any = None
        super().__init__(redis, inbox, **options)

    def _require_client(self) -> None:
        """There is none."""

    def _reader(self) -> GroupReader:
        reader: Any = MemoryReader(
            self.streams,
            group=self._group,
            name=self._options.name,
            streams=[*self._handlings],
            replays=self._log is not None,
        )
        made: GroupReader = reader
        return made


class _MemoryPubSub:
    """What redis-py's ``PubSub`` is to a subscription."""

    def __init__(self, listening: list[_MemoryPubSub]) -> None:
        self._listening = listening
        self._channels: set[str] = set()
        self._messages: deque[dict[str, Any]] = deque()
        self._arrived = asyncio.Event()
        self._broken = False

    async def subscribe(self, *channels: str) -> None:
        self._channels.update(channels)
        self._listening.append(self)
        for channel in channels:
            self._append("subscribe", channel, b"")

    def hear(self, channel: str, data: bytes) -> None:
        if channel in self._channels and not self._broken:
            self._append("message", channel, data)
            if len(self._messages) > MOST_UNREAD:
                self.break_off()

    def break_off(self) -> None:
        self._broken = True
        self._messages.clear()
        self._arrived.set()

    async def get_message(self, *, timeout: float) -> dict[str, Any] | None:  # noqa: ASYNC109 - as redis-py
        if not self._messages and not self._broken:
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        if self._broken:
            raise RedisConnectionError("cut")
        return self._messages.popleft()

    async def ping(self) -> None:
        self._append("pong", "", b"")

    async def aclose(self) -> None:
        if self in self._listening:
            self._listening.remove(self)

    def _append(self, kind: str, channel: str, data: bytes) -> None:
        self._messages.append({"type": kind, "channel": channel.encode(), "data": data})
        self._arrived.set()
