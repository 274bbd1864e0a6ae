"""Events that cannot be sent or read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cartsnitch_common.errors.root import CartsnitchError
from cartsnitch_common.errors.setup import ServerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


class EventError(CartsnitchError):
    """an event cannot be sent or read."""


class MalformedEnvelopeError(EventError):
    """the bytes are no envelope of this contract."""


class EventTooLargeError(EventError):
    """the event is larger than a channel carries.

    Attributes:
        size: Its size. Unit: bytes.
        limit: The largest size. Unit: bytes.
    """

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(f"the event has {size} bytes, at most {limit} are carried")
        self.size = size
        self.limit = limit


class UnknownEventTypeError(EventError):
    """the envelope names an event type that this version does not know.

    Attributes:
        event_type: The type that it names.
    """

    def __init__(self, event_type: str) -> None:
        super().__init__(f"this version does not know the event type {event_type}")
        self.event_type = event_type


class NotAPublisherError(EventError):
    """a service publishes an event that the contract leaves to others.

    Attributes:
        service: The service that tried.
        event_type: What it tried to publish.
    """

    def __init__(self, *, service: str, event_type: str, publishers: list[str]) -> None:
        super().__init__(f"{service} may not publish {event_type}, only {', '.join(publishers)}")
        self.service = service
        self.event_type = event_type


class EventInDoubtError(EventError, ServerUnavailableError):
    """redis broke off before it answered: the event may have been published, or not.

    It was sent once and is not sent again. A publisher that sends it anew makes another
    event of it; only the outbox's events keep their id.
    """


class EventsNotPublishedError(EventError, ServerUnavailableError):
    """some events of a batch were not published, or perhaps; the others were.

    Attributes:
        failures: Why, by the event's place in the batch, from 0; an
            ``EventInDoubtError`` for one that may have been published.
        event_ids: The ids of all events of the batch, in its order.
    """

    def __init__(
        self, failures: Mapping[int, ServerUnavailableError], event_ids: list[str]
    ) -> None:
        first = min(failures)
        count = f"{len(failures)} of {len(event_ids)} events were not published"
        reason = f"{count}, the first at place {first}: {failures[first].reason}"
        super().__init__(failures[first].setting, reason)
        self.failures = failures
        self.event_ids = event_ids


class InboxUnavailableError(EventError):
    """the database that keeps the inbox cannot be used now.

    Attributes:
        reason: Why, without anything that was sent.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the inbox's database cannot be used: {reason}")
        self.reason = reason
