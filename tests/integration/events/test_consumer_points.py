from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch_common.events.delivery import FAULT_POINTS
from tests.integration.events.consuming import (
    Killed,
    add,
    effects_of,
    new_consumer,
    pending,
    running,
    until_effects,
)


@pytest.mark.parametrize("point", FAULT_POINTS)
async def test_a_death_at_any_step_loses_and_repeats_nothing(
    redis: Redis, effects: Any, point: str
) -> None:
    """A consumer that ends at a named step, three times, leaves all to its successor, once."""
    sent = [await add(redis) for _ in range(30)]
    reached = 0

    async def die(at: str) -> None:
        nonlocal reached
        if at == point:
            reached += 1
            if reached % 2 == 0 or point == "entry read":
                raise Killed

    for _ in range(3):
        consumer = new_consumer(redis, effects, fault_point=die, batch_size=3)
        with pytest.raises(Killed):
            await asyncio.wait_for(consumer.run(asyncio.Event()), 10)
    assert reached >= 3
    successor = new_consumer(redis, effects)
    async with running(successor):
        await until_effects(effects, 30)
        async with asyncio.timeout(10):
            while await pending(redis):  # noqa: ASYNC110 - Redis tells
                await asyncio.sleep(0.02)
    assert await effects_of(effects) == sent
