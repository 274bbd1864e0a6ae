"""What a consumer has in hand: delivered to it, and not yet acknowledged."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Hand:
    """The ids of entries by their streams."""

    def __init__(self, streams: Iterable[str]) -> None:
        """Begin with nothing in hand."""
        self._ids: dict[str, dict[str, None]] = {stream: {} for stream in streams}
        self._left = asyncio.Event()

    def __len__(self) -> int:
        """How many entries it holds."""
        return sum(map(len, self._ids.values()))

    def of(self, stream: str) -> dict[str, None]:
        """The ids of a stream, in the order in which they were taken."""
        return self._ids[stream]

    def take(self, stream: str, entry_ids: Sequence[str]) -> None:
        """Hold entries."""
        self._ids[stream].update(dict.fromkeys(entry_ids))

    def drop(self, stream: str, entry_ids: Sequence[str]) -> None:
        """Hold entries no longer."""
        held = self._ids[stream]
        for entry_id in entry_ids:
            held.pop(entry_id, None)
        self._left.set()

    async def left(self, seconds: float) -> None:
        """Wait until an entry is dropped, at most so long."""
        self._left.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._left.wait()
        except TimeoutError:
            pass
