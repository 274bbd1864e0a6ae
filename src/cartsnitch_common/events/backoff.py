"""How long to wait before the next try, and waiting that ends when the work shall stop."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable


def heed_cancellation() -> None:
    """End the task if it was cancelled and an error has taken the cancellation's place.

    A rollback on the way out of a cancelled transaction fails when the connection is
    gone, and who catches that error would go on for ever.

    Raises:
        asyncio.CancelledError: The task was cancelled.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def rest(stop: asyncio.Event, seconds: float) -> None:
    """Wait, at most until ``stop`` is set."""
    heed_cancellation()
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


def spread(seconds: float) -> float:
    """A random time from half of ``seconds`` to all of it, so that nobody keeps step."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - no secret depends on it


class Backoff:
    """Waits that double from a first one up to a longest one."""

    def __init__(self, *, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._tries = 0

    def reset(self) -> None:
        """Begin again with the first wait."""
        self._tries = 0

    async def rest(self, stop: asyncio.Event) -> None:
        """Wait for this try's time."""
        await rest(stop, self.next())

    def next(self) -> float:
        """This try's time. Unit: seconds."""
        seconds = min(self._longest, self._first * 2.0 ** min(self._tries, 30))
        self._tries += 1
        return spread(seconds)


class Outage:
    """The time in which one server does not answer: said once, tried with patience."""

    def __init__(
        self,
        log: logging.Logger,
        work: str,
        server: str,
        tell: Callable[[], None] | None = None,
    ) -> None:
        """Describe it.

        Args:
            log: Where to say it.
            work: What waits for the server, such as "the relay".
            server: The server, such as "Redis".
            tell: Called when an outage begins.
        """
        self._log = log
        self._tell = tell
        self._work = work
        self._server = server
        self._reasons: set[str] = set()
        self._backoff = Backoff(first=0.05, longest=2.0)

    async def pause(self, stop: asyncio.Event, reason: str) -> None:
        """Say what is wrong, unless it was said, and wait before the next try."""
        if not self._reasons and self._tell is not None:
            self._tell()
        if reason not in self._reasons:
            self._log.warning("%s waits for %s: %s", self._work, self._server, reason)
            self._reasons.add(reason)
        await self._backoff.rest(stop)

    def over(self) -> None:
        """The server answered."""
        if self._reasons:
            self._log.info("%s works with %s again", self._work, self._server)
            self._reasons.clear()
            self._backoff.reset()
