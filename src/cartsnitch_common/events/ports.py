"""What a service may depend on in place of Redis: the bus as Protocols.

Three ways to use it, each with adapters of one behaviour, held by one suite of tests:

* ``Publisher``: ``pubsub.PubSub``, ``testing.bus.MemoryBus``.
* ``Subscriber``, fan-out to whoever listens now: ``pubsub.PubSub``, ``testing.bus.MemoryBus``.
* ``DurableConsumer``, nothing lost, effects once: ``Consumer``, and what
  ``testing.bus.MemoryBus.consumer`` makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self, Unpack

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Callable

    from google.protobuf.message import Message

    from cartsnitch.event.v1 import Envelope
    from cartsnitch_common.constants import Service
    from cartsnitch_common.events.delivery import BatchHandler, ConsumerStats, Handler
    from cartsnitch_common.events.envelope import EventContext
    from cartsnitch_common.events.event import Event
    from cartsnitch_common.events.pubsub import SubscriptionStats


class Publisher(Protocol):
    """Publishes to whoever listens now."""

    async def publish(
        self,
        payload: Message,
        *,
        service: Service | str,
        key: str,
        **context: Unpack[EventContext],
    ) -> Envelope:
        """Publish an event.

        Args:
            payload: The payload, and so the channel.
            service: The publisher; one that the contract allows this event.
            key: What the event is about.
            **context: See ``EventContext``.

        Raises:
            EventError: The event is refused.
            InvalidFieldError: A rule of the contract is broken.
            ServerUnavailableError: The server cannot be used.
        """


class EventStream[P: Message](Protocol):
    """A subscription: listens from ``async with`` on, and hears what is published then."""

    @property
    def stats(self) -> SubscriptionStats:
        """What it has seen, and how often it was cut off."""

    async def __aenter__(self) -> Self:
        """Listen.

        Raises:
            ServerUnavailableError: The server cannot be used.
        """

    async def __aexit__(self, *exc: object) -> None:
        """Stop listening."""

    def __aiter__(self) -> AsyncIterator[Event[P]]:
        """The events, without an end. After a cut it goes on, without what it missed."""


class Subscriber(Protocol):
    """Listens to what is published, and keeps nothing."""

    def subscribe[P: Message](self, kind: type[P], *kinds: type[P]) -> EventStream[P]:
        """Listen on the channels of some payloads.

        Raises:
            UnknownEventTypeError: A class is no payload of an event.
        """


class DurableConsumer[S](Protocol):
    """Handles every event of a group, with one effect each; see ``Consumer``."""

    @property
    def stats(self) -> ConsumerStats:
        """What it has done."""

    def on[P: Message](self, kind: type[P]) -> Callable[[Handler[P, S]], Handler[P, S]]:
        """Make a function the handler of a payload.

        Raises:
            UnknownEventTypeError: The class is no payload of an event.
            SetupError: It has a handler already.
        """

    def on_batch[P: Message](
        self, kind: type[P]
    ) -> Callable[[BatchHandler[P, S]], BatchHandler[P, S]]:
        """The same for a function that takes several events at once."""

    async def run(self, stop: asyncio.Event) -> None:
        """Handle events until ``stop`` is set.

        Raises:
            SetupError: There is no handler.
        """
