"""What the event bus tells of itself while it works: one Protocol, which does nothing by default.

Publishers, relays, consumers and subscriptions take an ``observer`` and call it at the
places that its methods name. ``metrics.PrometheusObserver`` counts, and
``tracing.TracingObserver`` makes spans; each is an extra. ``together`` joins several.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from cartsnitch_common.events.event import Event


class Outcome(StrEnum):
    """How one delivery of an event to a consumer ended."""

    HANDLED = "handled"
    """Its effect was committed."""
    DUPLICATE = "duplicate"
    """Its effect was there already."""
    SKIPPED = "skipped"
    """Its type is none of this version."""
    FAILED = "failed"
    """The handler raised; it is delivered again, or is dead next."""
    DEAD = "dead"
    """It is a dead letter now."""


class Observer(Protocol):
    """Whoever watches the bus. No method may raise, block or await.

    Names are few and bounded: event types, groups of consumers, ``relay``. No method
    is given a key, a payload's value or a text of an error.
    """

    def published(self, event_type: str, count: int) -> None:
        """Events went to Redis without an outbox: pub/sub or a stream has taken them."""

    def relayed(self, *, events: int, seconds: float) -> None:
        """A batch of a relay is committed.

        Args:
            events: How many it had.
            seconds: From its begin to its commit.
        """

    def refused(self, channel: str) -> None:
        """Redis has refused the events of a channel in a batch; they stay in the outbox."""

    def waiting(self, *, events: int, seconds: float) -> None:
        """What is in the outbox, told every few seconds.

        Args:
            events: How many wait; a great number may be a lower bound.
            seconds: How long the oldest has waited.
        """

    def handling(self, consumer: str, event: Event[Any]) -> AbstractContextManager[None]:
        """Surround one delivery: the inbox's transaction, with the handler in it.

        It sees the exception that the delivery ends with, and passes it on.
        """

    def settled(self, consumer: str, event_type: str, outcome: Outcome, *, seconds: float) -> None:
        """A delivery ended.

        Args:
            consumer: The group.
            event_type: The channel that it came from; its stream's, if it does not decode.
            outcome: How it ended; a handler that fails five times is FAILED five times
                and then DEAD once.
            seconds: How long it took; 0 for SKIPPED and DEAD.
        """

    def outage(self, who: str, server: str) -> None:
        """A server could not be used; once an outage, not once a try.

        Args:
            who: ``relay``, ``subscription`` or a consumer's group.
            server: ``redis`` or ``database``.
        """


class Silent:
    """The observer that does nothing; a base for those that do little."""

    def published(self, event_type: str, count: int) -> None:
        """See ``Observer``."""

    def relayed(self, *, events: int, seconds: float) -> None:
        """See ``Observer``."""

    def refused(self, channel: str) -> None:
        """See ``Observer``."""

    def waiting(self, *, events: int, seconds: float) -> None:
        """See ``Observer``."""

    def handling(self, consumer: str, event: Event[Any]) -> AbstractContextManager[None]:
        """See ``Observer``."""
        del consumer, event
        return _NOTHING

    def settled(self, consumer: str, event_type: str, outcome: Outcome, *, seconds: float) -> None:
        """See ``Observer``."""

    def outage(self, who: str, server: str) -> None:
        """See ``Observer``."""


_NOTHING: Final = nullcontext()
SILENT: Final[Observer] = Silent()
"""The default of everything that takes an observer."""


def together(*observers: Observer) -> Observer:
    """Several observers as one; each is told everything, in this order."""
    return _Together(observers)


class _Together:
    def __init__(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers

    def published(self, event_type: str, count: int) -> None:
        for observer in self._observers:
            observer.published(event_type, count)

    def relayed(self, *, events: int, seconds: float) -> None:
        for observer in self._observers:
            observer.relayed(events=events, seconds=seconds)

    def refused(self, channel: str) -> None:
        for observer in self._observers:
            observer.refused(channel)

    def waiting(self, *, events: int, seconds: float) -> None:
        for observer in self._observers:
            observer.waiting(events=events, seconds=seconds)

    @contextmanager
    def handling(self, consumer: str, event: Event[Any]) -> Iterator[None]:
        with ExitStack() as stack:
            for observer in self._observers:
                stack.enter_context(observer.handling(consumer, event))
            yield

    def settled(self, consumer: str, event_type: str, outcome: Outcome, *, seconds: float) -> None:
        for observer in self._observers:
            observer.settled(consumer, event_type, outcome, seconds=seconds)

    def outage(self, who: str, server: str) -> None:
        for observer in self._observers:
            observer.outage(who, server)
