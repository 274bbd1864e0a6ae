"""FastStream's Redis broker: the library that a service would use in place of the bus."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any, Final

from faststream.redis import RedisBroker, StreamSub

from _bench.comparison import Comparison, Direction, Sides
from _bench.events.consuming import BATCH, STREAM, Consuming, filled
from _bench.redis_world import CHANNEL, KEY, SERVICE, clients, payload, seed_event
from cartsnitch_common.events import publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _bench.comparison import Work
    from _bench.redis_world import Clients
    from _bench.world import World

_EVENTS: Final = 1000
_CONSUMED: Final = 4000
_BROKERS_STREAM: Final = f"{STREAM}:of-the-broker"


async def _publishing(world: World) -> AsyncIterator[Sides]:
    found, count = await clients(world), world.size(_EVENTS)
    broker = RedisBroker(found.settings.require_redis_url())
    await broker.connect()
    event, message = payload(), seed_event()

    async def ours() -> None:
        for _ in range(count):
            await publish(found.ours, event, service=SERVICE, key=KEY)

    async def rival() -> None:
        for _ in range(count):
            await broker.publish(message, channel=CHANNEL)

    yield Sides(ours=ours, rival=rival, units=count)
    await broker.stop()


async def _consuming(world: World) -> AsyncIterator[Sides]:
    found, count = await clients(world), world.size(_CONSUMED)
    async with RedisBroker(found.settings.require_redis_url()) as broker:
        for _ in range(count):
            await broker.publish(seed_event(), stream=_BROKERS_STREAM)
    async with filled(found, count):
        ours = Consuming(found, count)
        yield Sides(ours=ours.run, rival=_subscribed(found, count), units=count, after=ours.end)
    await found.bare.delete(_BROKERS_STREAM)


def _subscribed(found: Clients, count: int) -> Work:
    async def run() -> None:
        done, seen = asyncio.Event(), 0
        group = f"broker-{uuid.uuid4().hex}"
        await found.bare.xgroup_create(_BROKERS_STREAM, group, id=0)
        broker = RedisBroker(found.settings.require_redis_url(), logger=logging.getLogger(__name__))
        stream = StreamSub(
            _BROKERS_STREAM, group=group, consumer="1", batch=True, max_records=BATCH
        )

        @broker.subscriber(stream=stream)
        async def handle(messages: list[dict[str, Any]]) -> None:
            nonlocal seen
            seen += len(messages)
            if seen >= count:
                done.set()

        async with broker:
            await broker.start()
            await done.wait()
        await found.bare.xgroup_destroy(_BROKERS_STREAM, group)

    return run


ROWS: Final[tuple[Comparison, ...]] = (
    Comparison(
        name="publish an event",
        rival="FastStream's Redis broker, a dict with nothing checked",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_publishing,
    ),
    Comparison(
        name="consume a stream in batches of 200",
        rival="FastStream's Redis broker, dicts with nothing checked",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_consuming,
        rounds=5,
        note="No database on either side: it is the way from Redis to the handler.",
    ),
)
