"""What is heard while a test publishes, and a publisher that Redis refuses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.events import (
    Event,
    async_redis,
    publish,
    subscribe,
)
from tests.event_payloads import prices

SERVICE = "receiptwitness"
LAST = "the last one"


@asynccontextmanager
async def heard(redis: Redis, *kinds: Any) -> AsyncIterator[list[Event[Any]]]:
    """What is published in the block, in order, to its end."""
    found: list[Event[Any]] = []

    async def listen() -> None:
        async for event in events:
            if event.key == LAST:
                return
            found.append(event)

    async with subscribe(redis, *(kinds or (PricesUpdated,))) as events:
        listening = asyncio.create_task(listen())
        yield found
        await publish(redis, prices(), service=SERVICE, key=LAST)
        await asyncio.wait_for(listening, 10)


@asynccontextmanager
async def restricted(server: ValkeyServer) -> AsyncIterator[Redis]:
    """A client that Redis forbids one of its channels."""
    admin = Redis.from_url(server.url)
    await admin.execute_command(
        "ACL", "SETUSER", "some", "on", ">secret", "resetchannels",
        "&cartsnitch.prices.updated", "+@all",
    )  # fmt: skip
    await admin.aclose()
    url = f"redis://some:secret@127.0.0.1:{server.port}/0"
    client: Any = async_redis(Settings.load(redis_url=url))
    yield client
    await client.aclose()
