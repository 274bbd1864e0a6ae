from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.events import Event
from cartsnitch_common.events.dead_letters import redrive
from cartsnitch_common.events.replay_log import SqlEventLog
from tests.integration.events.consuming import (
    GROUP,
    effects_by_key,
    effects_of,
    letters,
    new_consumer,
    pending,
    relayed,
    running,
    until,
    until_effects,
    write_effect,
)


async def test_a_replay_disturbs_no_other_group(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """From a time and an id on, one group handles what it has not; nothing is put on Redis."""
    sent = await relayed(settings, redis, effects, "a", "b")
    first = new_consumer(redis, effects)
    async with running(first):
        await until(lambda: first.stats.handled == 2)
    middle = dt.datetime.now(dt.UTC)
    await redis.flushall()
    lost = await relayed(settings, redis, effects, "a", "b", "a")
    await redis.flushall()
    stats = await first.replay(SqlEventLog(effects), since_time=middle)
    assert (stats.read, stats.done, stats.handled) == (3, 0, 3)
    assert await effects_of(effects) == sent + lost
    assert await redis.keys() == []
    stats = await first.replay(SqlEventLog(effects))
    assert (stats.read, stats.done, stats.handled) == (5, 5, 0)
    behind = await first.replay(SqlEventLog(effects), since_id=stats.last_id)
    assert behind.read == 0


async def test_a_replay_beside_the_stream_doubles_nothing(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """The same events from log and stream at once have one effect each, in order per key."""
    keys = [f"k{number % 5}" for number in range(100)]
    sent = await relayed(settings, redis, effects, *keys)
    consumer = new_consumer(redis, effects, concurrency=4)
    async with running(consumer):
        await consumer.replay(SqlEventLog(effects))
        await until_effects(effects, 100)
    expected: dict[str, list[str]] = {}
    for key, event_id in zip(keys, sent, strict=True):
        expected.setdefault(key, []).append(event_id)
    assert await effects_by_key(effects) == expected
    assert await pending(redis) == 0


async def test_a_repetition_is_made_once(redis: Redis, effects: Any, settings: Settings) -> None:
    """Under one name an effect is repeated once, however often that is begun anew."""
    sent = await relayed(settings, redis, effects, "a", "a", "a")
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 3)
    stop = asyncio.Event()
    calls = 0

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            stop.set()
        await write_effect(event, session)

    repeating = new_consumer(redis, effects, handler)
    await repeating.replay(SqlEventLog(effects), again="repair", stop=stop)
    assert await effects_of(effects) == sent + sent[:2]
    for _ in range(2):
        await repeating.replay(SqlEventLog(effects), again="repair")
        assert await effects_of(effects) == sent + sent


async def test_what_the_log_holds_may_be_hopeless_too(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """An event that fails five times in a replay is a dead letter of the group."""

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        if event.key == "bad":
            raise ValueError
        await write_effect(event, session)

    sent = await relayed(settings, redis, effects, "a", "bad", "b")
    consumer = new_consumer(redis, effects, handler)
    await consumer.replay(SqlEventLog(effects))
    assert await effects_of(effects) == [sent[0], sent[2]]
    (letter,) = await letters(effects)
    assert letter.entry_id.startswith("log-")
    assert letter.deliveries == 5


async def test_a_repetition_that_fails_is_a_dead_letter(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """What the group had handled long ago and fails now is told, and can be redriven."""
    (sent,) = await relayed(settings, redis, effects, "a")
    first = new_consumer(redis, effects)
    async with running(first):
        await until(lambda: first.stats.handled == 1)

    async def failing(_event: Event[PricesUpdated], _session: AsyncSession) -> None:
        raise ValueError

    consumer = new_consumer(redis, effects, failing)
    stats = await consumer.replay(SqlEventLog(effects), again="repair")
    assert (stats.handled, consumer.stats.dead) == (1, 1)
    (letter,) = await letters(effects)
    assert (letter.consumer, letter.reason) == (GROUP, "ValueError")
    mended = new_consumer(redis, effects)
    stats = await mended.replay(SqlEventLog(effects), again="repair")
    assert (stats.done, stats.handled) == (1, 0)  # it waits for its redrive
    async with effects.begin() as session:
        await redrive(session, redis, letter.id)
    successor = new_consumer(redis, effects)
    async with running(successor):
        await until(lambda: successor.stats.handled == 1)
    assert await effects_of(effects) == [sent, sent]
