"""Acknowledgements, sent together while those before them are under way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from redis.exceptions import RedisError

from cartsnitch_common.events.backoff import rest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cartsnitch_common.events.delivery import FaultPoint
    from cartsnitch_common.events.hand import Hand
    from cartsnitch_common.events.streams import Entry, GroupReader

_LINGER: Final = 0.01
"""Unit: seconds in which others may join; nobody waits for an acknowledgement."""
_PAUSE: Final = 0.1
"""Unit: seconds before acknowledgements that failed are sent again, which changes nothing."""


class Acknowledger:
    """Acknowledges what is done with, and then lets it out of hand."""

    def __init__(
        self, reader: GroupReader, hand: Hand, point: FaultPoint | None, *, enough: int
    ) -> None:
        """Describe it; ``run`` it as a task.

        Args:
            reader: The streams.
            hand: What is in hand.
            point: The fault points.
            enough: So many of a stream wait for no others.
        """
        self._reader = reader
        self._hand = hand
        self._point = point
        self._done: dict[str, list[str]] = {}
        self._enough = enough
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = False

    def add(self, entries: Sequence[Entry]) -> None:
        """Have entries of a stream acknowledged soon."""
        done = self._done.setdefault(entries[0].stream, [])
        done += [entry.entry_id for entry in entries]
        self._wake.set()
        if len(done) >= self._enough:
            self._full.set()

    def close(self) -> None:
        """Send what there is, and end ``run``; what Redis does not take stays pending."""
        self._closing = True
        self._wake.set()
        self._full.set()

    async def run(self) -> None:
        """Acknowledge until closed."""
        while not (self._closing and not self._done):
            await self._wake.wait()
            if not self._closing:
                await rest(self._full, _LINGER)
            self._wake.clear()
            self._full.clear()
            try:
                await self._flush()
            except RedisError:  # the reader says what is wrong
                if self._closing:
                    return
                await asyncio.sleep(_PAUSE)
                self._wake.set()

    async def _flush(self) -> None:
        while self._done:
            stream = next(iter(self._done))
            if self._point is not None:
                await self._point("before ack")
            entry_ids = self._done.pop(stream)
            try:
                await self._reader.acknowledge(stream, entry_ids)
            except RedisError:
                self._done[stream] = entry_ids + self._done.get(stream, [])
                raise
            if self._point is not None:
                await self._point("after ack")
            self._hand.drop(stream, entry_ids)
