"""Plain pub/sub on the seed's channels: everybody who listens hears it, nothing is kept.

Nothing here is delivered twice, and nothing is delivered late: a subscriber that
is not connected at the moment of publishing never sees the event, and nobody is
told. A publisher that must not lose events writes them to the outbox; a receiver
that must not lose them is a durable consumer.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from cartsnitch_common.contract import binding_of
from cartsnitch_common.errors import EventError, MalformedEnvelopeError, UnknownEventTypeError
from cartsnitch_common.events.backoff import Outage
from cartsnitch_common.events.client import redis_errors, redis_reason
from cartsnitch_common.events.envelope import decode
from cartsnitch_common.events.observe import SILENT
from cartsnitch_common.events.opening import open_event
from cartsnitch_common.events.publishing import publish
from cartsnitch_common.events.texts import error_reason

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from google.protobuf.message import Message

    from cartsnitch.event.v1 import Envelope
    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.client import RedisClient
    from cartsnitch_common.events.envelope import EventContext
    from cartsnitch_common.events.event import Event
    from cartsnitch_common.events.observe import Observer

_LOG: Final = logging.getLogger(__name__)
_QUIET: Final = 10.0
"""Unit: seconds without a message after which the connection is tried with a PING."""
_PATIENCE: Final = 10.0
"""Unit: seconds that Redis may take to answer that PING, or to confirm a channel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionStats:
    """What a subscription has seen so far.

    Attributes:
        received: Events handed out.
        malformed: Messages that are no envelope of their channel; skipped.
        unknown: Events of a type that this version does not know; skipped.
        cuts: How often the connection broke; what was published meanwhile is lost.
    """

    received: int = 0
    malformed: int = 0
    unknown: int = 0
    cuts: int = 0


def subscribe[P: Message](redis: RedisClient, kind: type[P], *kinds: type[P]) -> Subscription[P]:
    """Listen on the channels of some payloads. Nothing is kept: see the module.

        async with subscribe(redis, PricesUpdated) as events:
            async for event in events:
                print(event.payload.observations)

    Nothing that is published after ``async with`` has entered is missed while the
    connection stands; ``async for`` over ``subscribe(...)`` itself enters on its own.
    A broken connection is made anew, and what was published meanwhile is lost.
    A subscriber that reads more slowly than others publish is cut off by Redis.

    Args:
        redis: A client of ``async_redis``; the subscription uses one of its connections.
        kind: The class of the payload.
        *kinds: More of them.

    Raises:
        UnknownEventTypeError: A class is no payload of an event.
    """
    return Subscription(redis, (kind, *kinds))


class PubSub:
    """Publishes and listens with one client; see ``ports``."""

    def __init__(self, redis: RedisClient, *, observer: Observer = SILENT) -> None:
        """Take a client of ``async_redis``, and who is told of what is published."""
        self._redis = redis
        self._observer = observer

    async def publish(
        self,
        payload: Message,
        *,
        service: Service | str,
        key: str,
        **context: Unpack[EventContext],
    ) -> Envelope:
        """See ``publishing.publish``."""
        return await publish(
            self._redis, payload, service=service, key=key, observer=self._observer, **context
        )

    def subscribe[P: Message](self, kind: type[P], *kinds: type[P]) -> Subscription[P]:
        """See ``subscribe``."""
        return Subscription(self._redis, (kind, *kinds), observer=self._observer)


class Subscription[P: Message]:
    """Events of some channels as they are published; see ``subscribe``."""

    def __init__(
        self, redis: RedisClient, kinds: tuple[type[P], ...], *, observer: Observer = SILENT
    ) -> None:
        """Prepare it; it listens from ``async with`` on."""
        self._redis = redis
        self._kinds = {binding_of(kind).channel: kind for kind in kinds}
        self._pubsub: Any = None  # a PubSub of redis-py, half of which is not annotated
        self._early: deque[dict[str, Any]] = deque()
        self._received = self._malformed = self._unknown = self._cuts = 0
        self._outage = Outage(
            _LOG, "a subscription", "Redis", lambda: observer.outage("subscription", "redis")
        )

    @property
    def stats(self) -> SubscriptionStats:
        """A snapshot of the counters."""
        return SubscriptionStats(
            received=self._received,
            malformed=self._malformed,
            unknown=self._unknown,
            cuts=self._cuts,
        )

    async def __aenter__(self) -> Self:
        """Subscribe, and wait until the server has confirmed every channel.

        Raises:
            ServerUnavailableError: Redis cannot be reached or refuses.
        """
        with redis_errors():
            self._pubsub = await self._listen()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Stop listening."""
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            await pubsub.aclose()

    def __aiter__(self) -> AsyncGenerator[Event[P]]:
        """The events, without an end."""
        return self._each(self._event)

    def envelopes(self) -> AsyncGenerator[Envelope]:
        """The events as the envelopes that they came in, without an end."""
        return self._each(_envelope)

    async def _each[T](self, read: Callable[[bytes, str], T]) -> AsyncGenerator[T]:
        async with self._entered():
            while True:
                found = await self._next(read)
                if found is not None:
                    yield found

    def _event(self, data: bytes, channel: str) -> Event[P]:
        return open_event(data, self._kinds[channel])

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[None]:
        if self._pubsub is not None:
            yield
            return
        async with self:
            yield

    async def _listen(self) -> Any:
        pubsub: Any = self._redis.pubsub()
        try:
            await pubsub.subscribe(*self._kinds)
            missing = {channel.encode() for channel in self._kinds}
            while missing:
                message = await _answer(pubsub)
                if message["type"] == "subscribe":
                    missing.discard(message["channel"])
                else:  # the channels are confirmed one by one, and may talk at once
                    self._early.append(message)
        except BaseException:
            await pubsub.aclose()
            raise
        return pubsub

    async def _next[T](self, read: Callable[[bytes, str], T]) -> T | None:
        """What the next message holds; None for one that is no event."""
        message = self._early.popleft() if self._early else await self._message()
        if message is None or message["type"] != "message":
            return None
        try:
            found = read(message["data"], message["channel"].decode())
        except EventError as error:
            if isinstance(error, UnknownEventTypeError):
                self._unknown += 1
            else:
                self._malformed += 1
            _LOG.warning("a subscription skips a message: %s", error_reason(error))
            return None
        self._received += 1
        return found

    async def _message(self) -> dict[str, Any] | None:
        try:
            if self._pubsub is None:
                self._pubsub = await self._listen()
                self._outage.over()
            message: dict[str, Any] | None = await self._pubsub.get_message(timeout=_QUIET)
            if message is None:
                # A peer that is gone without a word looks just like a quiet channel.
                await self._pubsub.ping()
                message = await _answer(self._pubsub)
        except (RedisError, OSError) as error:
            await self._cut(error)
            return None
        return message

    async def _cut(self, error: RedisError | OSError) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            self._cuts += 1
            await pubsub.aclose()
        await self._outage.pause(asyncio.Event(), redis_reason(error))


def _envelope(data: bytes, channel: str) -> Envelope:
    envelope = decode(data)
    if envelope.event_type != channel:
        raise MalformedEnvelopeError("the event does not belong on this channel")
    return envelope


async def _answer(pubsub: Any) -> dict[str, Any]:
    message: dict[str, Any] | None = await pubsub.get_message(timeout=_PATIENCE)
    if message is None:
        raise RedisTimeoutError("no answer")
    return message
