"""A consumer's options, counters and dead letters, and what it asks of its database."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from google.protobuf.message import Message

    from cartsnitch_common.config import Settings
    from cartsnitch_common.events.event import Event


type Handler[P: Message, S] = Callable[[Event[P], S], Awaitable[None]]
"""What a service does with an event: writes with the session, commits nothing."""

type BatchHandler[P: Message, S] = Callable[[Sequence[Event[P]], S], Awaitable[None]]
"""The same with several events, in the stream's order, whose effects are one transaction."""

type FaultPoint = Callable[[str], Awaitable[None]]
"""Called at each of ``FAULT_POINTS`` with its name. For tests, which kill there."""

FAULT_POINTS: Final = (
    "entry read",
    "effect written",
    "effect committed",
    "before ack",
    "after ack",
)
"""The steps of an event through a consumer between which it may die."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerOptions:
    """How a consumer works.

    Attributes:
        name: Its name within the group; keep it over restarts, so that it goes on
            with what it had in hand.
        batch_size: The most entries read at once. At most twice as many are in hand,
            so that memory is bounded however many wait on Redis.
        concurrency: How many handlers run at once, each with a session of its own;
            events of one key have their order all the same.
        block: Unit: seconds to wait on Redis for a new event, which is also how
            long a stop may take; below the client's socket timeout.
        most_deliveries: After so many the event becomes a dead letter.
        first_wait: Unit: seconds before the second delivery; it doubles each time.
        longest_wait: Unit: seconds that no wait between two deliveries exceeds.
        claim_after: Unit: seconds without a word from another consumer of the group after
            which what it has in hand is taken over. A third of it is how often
            this one gives word.
        grace: Unit: seconds that handlers may take to end after a stop; then they are
            cancelled, which rolls back.
    """

    name: str = "1"
    batch_size: int = 64
    concurrency: int = 1
    block: float = 2.0
    most_deliveries: int = 5
    first_wait: float = 0.1
    longest_wait: float = 5.0
    claim_after: float = 15.0
    grace: float = 30.0

    @classmethod
    def from_settings(cls, settings: Settings, **changes: Any) -> Self:
        """The options that the environment gives, with some given here.

        Args:
            settings: Says how long to wait on Redis.
            **changes: Fields of this class; they win.
        """
        return cls(**({"block": settings.redis_block_time} | changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerStats:
    """What a consumer has done since it was made.

    Attributes:
        handled: Events whose effect it committed.
        duplicates: Deliveries whose effect was there already.
        skipped: Events of a type that this version does not know.
        dead: Events that it gave up on.
        retries: Deliveries after the first, because the handler failed.
    """

    handled: int
    duplicates: int
    skipped: int
    dead: int
    retries: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An entry that a consumer gave up on. Its ``repr`` leaves the envelope out.

    Attributes:
        consumer: The consumer group.
        stream: The stream it was read from.
        entry_id: Its id in the stream.
        envelope: The bytes as read; empty when the stream had lost them.
        reason: An error's class and, if it is ours, its message; never a value.
        deliveries: How often it was tried.
        event_id: The event's id; None when the bytes do not tell.
    """

    consumer: str
    stream: str
    entry_id: str
    envelope: bytes = field(repr=False)
    reason: str
    deliveries: int
    event_id: uuid.UUID | None = None


class Chained(Protocol):
    """What a transaction of an inbox may offer: its commit begins the next event's.

    It saves a round trip. A subclass that puts something of its own around a transaction
    does not offer it, and has each event begun and committed by itself.
    """

    def follow(self, consumer: str, event_id: uuid.UUID) -> None:
        """Have the commit begin the transaction of another event, and mark that."""

    def following(self) -> Chained | None:
        """That transaction, to be entered next; None if the mark was not asked for."""

    def drop(self) -> None:
        """Give up a transaction that is begun and was not entered."""


class Inbox[S](Protocol):
    """The database side of a consumer; ``S`` is what its handlers write with."""

    def transaction(self) -> AbstractAsyncContextManager[S]:
        """A transaction: committed at the end of the block, rolled back by an exception.

        Raises:
            InboxUnavailableError: The database cannot be reached, or was lost on
                the way. Whether a commit under way was made is then not known.
        """

    async def first_time(self, session: S, consumer: str, event_id: uuid.UUID) -> bool:
        """Mark an event as handled in the transaction; False when it was already.

        Raises:
            InboxUnavailableError: Another transaction holds the mark for longer than a
                statement may wait.
        """

    async def first_times(
        self, session: S, consumer: str, event_ids: Sequence[uuid.UUID]
    ) -> set[uuid.UUID]:
        """Mark several; return those that were not marked before. Raises as ``first_time``."""

    async def marked(self, consumer: str, event_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Those that are marked, read in a transaction of its own.

        Raises:
            InboxUnavailableError: The database cannot be reached.
        """

    async def bury(self, letter: DeadLetter) -> bool:
        """Record a dead letter, and its event as handled, in a transaction of its own.

        Returns:
            False when the event was handled already or the entry is recorded: its
            effect is there, and only the acknowledgement was lost.

        Raises:
            InboxUnavailableError: The database cannot be reached.
        """
