"""The limit of time of what is asked of Redis, by one timer for all exchanges of a loop.

A timer for each would cost as much as to pack a command: nearly all are cancelled.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import asyncio

_LIMITS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, Limits]] = WeakKeyDictionary()


class Limits:
    """Ends the connections on which an exchange takes too long.

    Whoever reads from such a connection sees the end of its stream.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin with no exchange; see ``limits_of``."""
        self._loop = loop
        self._ends: dict[asyncio.WriteTransport, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.WriteTransport, seconds: float | None) -> None:
        """Begin an exchange; None is no limit. ``end`` has to follow."""
        if seconds is not None:
            end = self._ends[transport] = self._loop.time() + seconds
            if self._timer is None or end < self._timer.when():
                self._look_at(end)

    def end(self, transport: asyncio.WriteTransport) -> bool:
        """End the exchange; whether it has reached its limit."""
        return self._ends.pop(transport, math.inf) <= self._loop.time()

    def _look_at(self, time: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(time, self._look)

    def _look(self) -> None:
        self._timer, now = None, self._loop.time()
        later = []
        for transport, end in self._ends.items():
            if end <= now:
                transport.abort()  # which calls nobody before the loop's next turn
            else:
                later.append(end)
        if later:
            self._look_at(min(later))


def limits_of(loop: asyncio.AbstractEventLoop) -> Limits:
    """The limits of a loop's exchanges."""
    found = _LIMITS.get(loop)
    if found is None:
        found = _LIMITS[loop] = Limits(loop)
    return found
