"""What a consumer does with what it reads, and the entries that it is done to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from cartsnitch_common.errors import EventError
    from cartsnitch_common.events.backoff import Backoff
    from cartsnitch_common.events.delivery import BatchHandler, Chained
    from cartsnitch_common.events.event import Event
    from cartsnitch_common.events.streams import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Handling:
    """What is done with the events of one stream.

    Attributes:
        kind: Their payload.
        channel: Their type.
        handler: Handles one or, ``together``, several.
        together: Whether it takes several at once.
    """

    kind: type[Message]
    channel: str
    handler: BatchHandler[Any, Any]
    together: bool


@dataclass(slots=True, kw_only=True, eq=False)
class Work:
    """Entries to bring to their end, in their order.

    Attributes:
        handling: What to do with them.
        entries: The entries that are not done with.
        events: What they hold; nothing when ``failure`` is set.
        failure: Why the entry cannot be handled.
        apart: Handle the events one by one, because all together failed.
        tried: Whether it was begun before.
        begun: The transaction of its one event, if that is begun already.
        backoff: The waits between tries.
    """

    handling: Handling
    entries: list[Entry]
    events: list[Event[Any]] = field(default_factory=list)
    failure: EventError | None = None
    apart: bool = False
    tried: bool = False
    begun: Chained | None = None
    backoff: Backoff

    @property
    def key(self) -> str:
        """What is worked on in order: a key's events or, handled together, a stream's."""
        stream = self.entries[0].stream
        if self.handling.together or not self.events:
            return stream
        return f"{stream}\0{self.events[0].key}"
