"""Reads of streams in different slots of a Cluster, which no single command can read."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cartsnitch_common.events.streams import Entry


class SlotReads:
    """One blocking read a stream, all under way at once.

    A read that waits is not given up because another one has answered: what Redis
    hands to a read that nobody awaits any more is delivered, and lost to the reader
    until it looks through what it has pending. It stays under way for the next call.
    """

    def __init__(self, read: Callable[[str], Awaitable[list[Entry]]]) -> None:
        """Describe them.

        Args:
            read: Reads one stream, and waits there for a while.
        """
        self._read = read
        self._running: dict[str, asyncio.Future[list[Entry]]] = {}

    async def first(self, streams: Sequence[str]) -> list[Entry]:
        """What the first reads to answer bring, which may be nothing.

        Raises:
            RedisError: A read failed; what others brought is pending.
        """
        for stream in streams:
            if stream not in self._running:
                self._running[stream] = asyncio.ensure_future(self._read(stream))
        await asyncio.wait(self._running.values(), return_when=asyncio.FIRST_COMPLETED)
        done = [stream for stream, read in self._running.items() if read.done()]
        finished = [self._running.pop(stream) for stream in done]
        failures = [read.exception() for read in finished]
        for failure in failures:
            if failure is not None:
                raise failure
        return [entry for read in finished for entry in read.result()]

    async def end(self) -> None:
        """Wait until no read is under way; what they bring stays pending."""
        running, self._running = [*self._running.values()], {}
        await asyncio.gather(*running, return_exceptions=True)
