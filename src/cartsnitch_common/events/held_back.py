"""Channels that Redis refuses while it takes others: each is tried again after a while."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cartsnitch_common.events.texts import one_line

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable


class HeldBack:
    """Which channels are held back, so that their events do not stand before all others."""

    def __init__(self, log: logging.Logger, work: str) -> None:
        """Hold back none.

        Args:
            log: Where to say it.
            work: What holds them back, such as "the relay".
        """
        self._log = log
        self._work = work
        self._tries: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def now(self) -> list[str]:
        """The channels that are not to be tried yet."""
        return [channel for channel, until in self._until.items() if time.monotonic() < until]

    def refused(self, channel: str, reason: str) -> None:
        """Hold a channel back, longer each time, and say so the first time."""
        tries = self._tries.get(channel, 0)
        if not tries:
            self._log.warning("%s holds back %s: %s", self._work, one_line(channel), reason)
        self._tries[channel] = tries + 1
        self._until[channel] = time.monotonic() + min(2.0, 0.05 * 2.0 ** min(tries, 30))

    def taken(self, channels: Iterable[str]) -> None:
        """Redis has taken events of channels."""
        for channel in channels:
            if self._tries.pop(channel, 0):
                del self._until[channel]
                self._log.info("%s goes on with %s", self._work, one_line(channel))
