"""An inbox in memory: effects that are kept when their transaction is, and marks beside them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from cartsnitch_common.errors import InboxUnavailableError

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Sequence

    from cartsnitch_common.events.delivery import DeadLetter

type _Mark = tuple[str, uuid.UUID]


class MemorySession:
    """What a handler writes with: what it adds is kept when the handler returns."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.effects: list[object] = []
        self.marks: list[_Mark] = []

    def add(self, effect: object) -> None:
        """Have an effect."""
        self.effects.append(effect)


class MemoryInbox:
    """The database side of a consumer in tests without a database.

    Attributes:
        effects: What committed transactions have added, in their order.
        letters: The dead letters.
        away: While it is True the inbox cannot be used, as a database that is gone.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.effects: list[object] = []
        self.letters: list[DeadLetter] = []
        self.away = False
        self._marked: set[_Mark] = set()
        self._open: dict[_Mark, asyncio.Event] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemorySession]:
        """See ``events.Inbox``."""
        self._require()
        session = MemorySession()
        try:
            yield session
            self._require()
            self.effects += session.effects
            self._marked.update(session.marks)
        finally:
            for mark in session.marks:
                self._open.pop(mark).set()

    async def first_time(self, session: MemorySession, consumer: str, event_id: uuid.UUID) -> bool:
        """See ``events.Inbox``. Waits for another transaction that marks the same event."""
        mark = (consumer, event_id)
        while mark in self._open and mark not in session.marks:
            await self._open[mark].wait()
        if mark in self._marked or mark in session.marks:
            return False
        session.marks.append(mark)
        self._open[mark] = asyncio.Event()
        return True

    async def first_times(
        self, session: MemorySession, consumer: str, event_ids: Sequence[uuid.UUID]
    ) -> set[uuid.UUID]:
        """See ``events.Inbox``."""
        return {one for one in event_ids if await self.first_time(session, consumer, one)}

    async def marked(self, consumer: str, event_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """See ``events.Inbox``."""
        self._require()
        return {one for one in event_ids if (consumer, one) in self._marked}

    async def bury(self, letter: DeadLetter) -> bool:
        """See ``events.Inbox``."""
        async with self.transaction() as session:
            if letter.event_id is not None:
                new = await self.first_time(session, letter.consumer, letter.event_id)
            else:
                place = (letter.consumer, letter.stream, letter.entry_id)
                new = place not in {(x.consumer, x.stream, x.entry_id) for x in self.letters}
        if new:
            self.letters.append(letter)
        return new

    def _require(self) -> None:
        if self.away:
            raise InboxUnavailableError("it is away")
