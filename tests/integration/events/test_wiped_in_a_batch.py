"""Redis is wiped while a relay has published a batch and not yet written it to the log."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.events import Consumer, ConsumerOptions
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.relay import Point
from cartsnitch_common.events.replay_log import SqlEventLog
from tests.integration.events import relaying
from tests.integration.events.consuming import (
    FAST,
    GROUP,
    effects_of,
    running,
    until_effects,
    write_effect,
)


async def test_what_was_published_and_not_yet_logged_comes_first(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """Who finds its group gone reads the log when the batches under way are in it.

    Else what is relayed next would take effect before what the wipe took away.
    """
    published, go_on = asyncio.Event(), asyncio.Event()

    async def hold(point: Point) -> None:
        if point is Point.AFTER_PUBLISH:
            published.set()
            await go_on.wait()

    (first,) = await relaying.write(effects, "k")
    consumer = Consumer(
        redis,
        SqlInbox(effects),
        group=GROUP,
        options=ConsumerOptions(**FAST),
        log=SqlEventLog(effects),
    )
    consumer.on(PricesUpdated)(write_effect)
    async with relaying.running(relaying.Watched(settings, hold)):
        await published.wait()
        await redis.flushall()
        (second,) = await relaying.write(effects, "k")
        async with running(consumer):
            await asyncio.sleep(0.4)  # it has made its group and would have read the log
            go_on.set()
            await until_effects(effects, 2)
    assert await effects_of(effects) == [first, second]
