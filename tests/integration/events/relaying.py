from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import func, select

from cartsnitch.event.v1 import Envelope, PricesUpdated
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.events import decode
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from tests.event_payloads import prices

STREAM = binding_of(PricesUpdated).stream


async def write(sessions: Any, *keys: str) -> list[str]:
    """One transaction with an event for each key; returns the event ids."""
    async with sessions.begin() as session:
        return [
            (await enqueue(session, prices(), service="receiptwitness", key=key)).event_id
            for key in keys
        ]


async def on_the_wire(redis: Redis, stream: str = STREAM) -> list[Envelope]:
    return [decode(fields[b"e"]) for _, fields in await redis.xrange(stream)]


async def count(sessions: Any, model: Any) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def until_empty(sessions: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while await count(sessions, OutboxEvent):  # noqa: ASYNC110 - the database tells
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
