from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import LoggedEvent
from cartsnitch_common.events import Event, encode, reading, wrap
from cartsnitch_common.events.dead_letters import redrive
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.events.replay_log import SqlEventLog
from tests.event_payloads import prices
from tests.integration.events.consuming import (
    GROUP,
    add,
    effects_by_key,
    effects_of,
    letters,
    new_consumer,
    pending,
    running,
    until,
    until_effects,
    with_log,
    write_effect,
)


async def relay(settings: Settings, redis: Redis, sessions: Any, *keys: str) -> list[str]:
    """Events that were committed and relayed; returns their ids."""
    sent = []
    for key in keys:
        async with sessions.begin() as session:
            envelope = await enqueue(session, prices(), service="stickershock", key=key)
        sent.append(envelope.event_id)
    while await Relay(settings, redis=redis).run_once():
        pass
    return sent


async def test_a_wiped_redis_is_replayed_from_the_log(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """What Redis had and lost is handled from the log, once and in order, before what is new."""
    consumer = with_log(redis, effects)
    sent = await relay(settings, redis, effects, "a", "b", "a")
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 3)
    sent += await relay(settings, redis, effects, "a", "b", "b")
    await redis.flushall()
    sent += await relay(settings, redis, effects, "b", "a")
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 8)
        await redis.flushall()  # and once more, while it runs
        sent += await relay(settings, redis, effects, "a")
        await until_effects(effects, 9)
    assert await effects_of(effects) == sent


async def test_a_replay_that_was_broken_off_is_done_by_the_next_start(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """A consumer that is stopped in the midst of it leaves the rest to its successor."""
    sent = await relay(settings, redis, effects, "a", "a", "a", "a")
    await redis.flushall()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        if str(event.event_id) == sent[1]:
            stop.set()

    async with running(with_log(redis, effects, handler)) as stop:
        await stop.wait()
    assert await effects_of(effects) == sent[:2]
    sent += await relay(settings, redis, effects, "a")
    async with running(with_log(redis, effects)):
        await until_effects(effects, 5)
    assert await effects_of(effects) == sent


async def test_a_second_process_does_not_overtake_a_replay(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """While one process handles what Redis had lost, no other handles what came after it."""
    sent = await relay(settings, redis, effects, "a", "a")
    await redis.flushall()
    sent += await relay(settings, redis, effects, "a")
    held, go_on = asyncio.Event(), asyncio.Event()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        held.set()
        await go_on.wait()

    async with running(with_log(redis, effects, handler)):
        await held.wait()
        async with running(with_log(redis, effects, name="2")):
            await asyncio.sleep(1)
            assert await effects_of(effects) == []
            go_on.set()
            await until_effects(effects, 3)
    assert await effects_of(effects) == sent


async def test_a_second_wipe_while_it_replays_is_found(
    redis: Redis, effects: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was relayed behind the replay's end, and lost again, is handled by the late pass."""
    monkeypatch.setattr(reading, "LATE", 0.5)
    sent = await relay(settings, redis, effects, "a")
    await redis.flushall()
    held, go_on = asyncio.Event(), asyncio.Event()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        held.set()
        await go_on.wait()

    async with running(with_log(redis, effects, handler)):
        await held.wait()
        sent += await relay(settings, redis, effects, "a")
        await redis.flushall()
        await asyncio.sleep(2)  # longer than three times LATE
        go_on.set()
        await until_effects(effects, 2)
    assert await effects_of(effects) == sent


async def test_what_reaches_the_log_after_a_wipe_is_found(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay's batch that was on the wiped Redis and commits later is replayed as well."""
    monkeypatch.setattr(reading, "LATE", 1.0)
    consumer = with_log(redis, effects)
    async with running(consumer):
        sent = await add(redis)
        await until(lambda: consumer.stats.handled == 1)
        late = wrap(prices(), service="stickershock", key="k")
        async with effects.begin() as session:
            row = LoggedEvent(
                id=1,
                event_id=uuid.UUID(late.event_id),
                event_type=late.event_type,
                key=late.key,
                envelope=encode(late),
                created_at=dt.datetime.now(dt.UTC),
            )
            session.add(row)
        await until(lambda: consumer.stats.handled == 2)
    assert await effects_of(effects) == [sent, late.event_id]


async def test_a_replay_disturbs_no_other_group(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """From a time and an id on, one group handles what it has not; nothing is put on Redis."""
    sent = await relay(settings, redis, effects, "a", "b")
    first = new_consumer(redis, effects)
    async with running(first):
        await until(lambda: first.stats.handled == 2)
    middle = dt.datetime.now(dt.UTC)
    await redis.flushall()
    lost = await relay(settings, redis, effects, "a", "b", "a")
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
    sent = await relay(settings, redis, effects, *keys)
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
    sent = await relay(settings, redis, effects, "a", "a", "a")
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

    sent = await relay(settings, redis, effects, "a", "bad", "b")
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
    (sent,) = await relay(settings, redis, effects, "a")
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
