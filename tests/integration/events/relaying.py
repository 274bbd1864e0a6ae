from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import func, select

from cartsnitch.event.v1 import Envelope, PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.events import decode
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Point, Relay
from tests.event_payloads import prices

STREAM = binding_of(PricesUpdated).stream


async def write(sessions: Any, *keys: str) -> list[str]:
    """One transaction with an event for each key; returns the event ids."""
    async with sessions.begin() as session:
        return [
            (await enqueue(session, prices(), service="receiptwitness", key=key)).event_id
            for key in keys
        ]


class Watched(Relay):
    """A relay that tells which points of a batch it passes, and may be held up there."""

    def __init__(
        self,
        settings: Settings,
        at: Callable[[Point], Awaitable[object]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(settings, **options)
        self.passed: Counter[Point] = Counter()
        self._at = at

    async def _reach(self, point: Point) -> None:
        self.passed[point] += 1
        if self._at:
            await self._at(point)


def by_key(envelopes: Iterable[Envelope]) -> dict[str, list[str]]:
    """The ids of each key's events, in their order; of what came twice the first."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for envelope in envelopes:
        found[envelope.key].setdefault(envelope.event_id)
    return {key: list(ids) for key, ids in found.items()}


async def on_the_wire(redis: Redis, stream: str = STREAM) -> list[Envelope]:
    return [decode(fields[b"e"]) for _, fields in await redis.xrange(stream)]


async def count(sessions: Any, model: Any) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def until_empty(sessions: Any, seconds: float = 20, *, left: int = 0) -> None:
    async with asyncio.timeout(seconds):
        while await count(sessions, OutboxEvent) != left:  # noqa: ASYNC110 - the database tells
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for relay in relays:
            tasks.create_task(relay.run(stop))
        try:
            yield stop
        finally:
            stop.set()
