"""FastStream's Redis broker, where it is installed: ``pip install 'faststream[redis]'``.

It is no dependency of the project's development, because nothing else needs it.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Final

from _bench.comparison import Comparison, Direction, Sides
from _bench.redis_world import CHANNEL, KEY, SERVICE, clients, payload, seed_event
from cartsnitch_common.events import publish

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _bench.world import World

_EVENTS: Final = 1000


async def _publishing(world: World) -> AsyncIterator[Sides]:
    found, count = await clients(world), world.size(_EVENTS)
    module: Any = importlib.import_module("faststream.redis")
    broker = module.RedisBroker(found.settings.require_redis_url())
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


ROWS: Final[tuple[Comparison, ...]] = (
    (
        Comparison(
            name="publish an event",
            rival="FastStream's Redis broker, a dict with nothing checked",
            goal=None,
            direction=Direction.TIMES_AS_FAST,
            prepare=_publishing,
        ),
    )
    if importlib.util.find_spec("faststream")
    else ()
)
