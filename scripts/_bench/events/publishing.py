"""Publishing: typed and checked, against redis-py that is handed the bytes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from _bench.comparison import Comparison, Direction, Sides
from _bench.redis_world import (
    CHANNEL,
    KEY,
    SERVICE,
    Clients,
    clients,
    data,
    payload,
    seed_event,
    seed_text,
)
from cartsnitch_common.events import CoalescingPublisher, publish, publish_all, publish_sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from _bench.comparison import Work
    from _bench.world import World

    type Make = Callable[[Clients, int], Work]

_FAST: Final = Direction.TIMES_AS_FAST
_TASKS: Final = 100
_BARE: Final = "redis-py, the same bytes ready"
_SEED: Final = "the seed's JSON envelope by redis-py"


def _sides(ours: Make, rival: Make, count: int) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        found, events = await clients(world), max(world.size(count), _TASKS)
        yield Sides(ours=ours(found, events), rival=rival(found, events), units=events)

    return prepare


def _one_by_one_sync(found: Clients, count: int) -> Work:
    event = payload()

    def run() -> None:
        for _ in range(count):
            publish_sync(found.ours_sync, event, service=SERVICE, key=KEY)

    return run


def _bare_sync(found: Clients, count: int) -> Work:
    event = data()

    def run() -> None:
        for _ in range(count):
            found.bare_sync.publish(CHANNEL, event)

    return run


def _one_by_one(found: Clients, count: int) -> Work:
    event = payload()

    async def run() -> None:
        for _ in range(count):
            await publish(found.ours, event, service=SERVICE, key=KEY)

    return run


def _bare(found: Clients, count: int) -> Work:
    event = data()

    async def run() -> None:
        for _ in range(count):
            await found.bare.publish(CHANNEL, event)

    return run


def _seed(found: Clients, count: int) -> Work:
    event = seed_event()

    async def run() -> None:
        for _ in range(count):
            await found.bare.publish(CHANNEL, seed_text(event))

    return run


def _together(found: Clients, count: int) -> Work:
    events = [(payload(), KEY)] * count

    async def run() -> None:
        await publish_all(found.ours, events, service=SERVICE)

    return run


def _bare_pipeline(found: Clients, count: int) -> Work:
    event = data()

    async def run() -> None:
        pipe = found.bare.pipeline(transaction=False)
        for _ in range(count):
            pipe.publish(CHANNEL, event)
        await pipe.execute()

    return run


def _seed_pipeline(found: Clients, count: int) -> Work:
    event = seed_event()

    async def run() -> None:
        pipe = found.bare.pipeline(transaction=False)
        for _ in range(count):
            pipe.publish(CHANNEL, seed_text(event))
        await pipe.execute()

    return run


def _tasks(found: Clients, count: int) -> Work:
    event = payload()
    publisher = CoalescingPublisher(found.ours, service=SERVICE)
    return _in_tasks(lambda: publisher.publish(event, key=KEY), count)


def _bare_tasks(found: Clients, count: int) -> Work:
    event = data()
    return _in_tasks(lambda: found.bare.publish(CHANNEL, event), count)


def _in_tasks(send: Callable[[], Awaitable[object]], count: int) -> Work:
    async def task() -> None:
        for _ in range(count // _TASKS):
            await send()

    async def run() -> None:
        await asyncio.gather(*(task() for _ in range(_TASKS)))

    return run


ROWS: Final = (
    Comparison(
        name="publish an event, without asyncio",
        rival=_BARE,
        goal=0.85,
        direction=_FAST,
        prepare=_sides(_one_by_one_sync, _bare_sync, 2000),
    ),
    Comparison(
        name="publish an event",
        rival=_BARE,
        goal=0.85,
        direction=_FAST,
        prepare=_sides(_one_by_one, _bare, 2000),
    ),
    Comparison(
        name="publish an event",
        rival=_SEED,
        goal=None,
        direction=_FAST,
        prepare=_sides(_one_by_one, _seed, 2000),
    ),
    Comparison(
        name="publish 5,000 events at once",
        rival=f"{_BARE}, in its pipeline",
        goal=1.5,
        direction=_FAST,
        prepare=_sides(_together, _bare_pipeline, 5000),
    ),
    Comparison(
        name="publish 5,000 events at once",
        rival=f"{_SEED} in a pipeline",
        goal=None,
        direction=_FAST,
        prepare=_sides(_together, _seed_pipeline, 5000),
    ),
    Comparison(
        name="a hundred tasks publish at once",
        rival="redis-py one after the other, the same bytes ready",
        goal=10,
        direction=_FAST,
        prepare=_sides(_tasks, _bare, 5000),
    ),
    Comparison(
        name="a hundred tasks publish at once",
        rival="redis-py in as many tasks, the same bytes ready",
        goal=None,
        direction=_FAST,
        prepare=_sides(_tasks, _bare_tasks, 5000),
        note="redis-py opens a hundred connections for it, ours are one.",
    ),
)
