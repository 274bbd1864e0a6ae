from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import Event
from cartsnitch_common.events.streams import forget_consumer
from tests.integration.events.consuming import (
    GROUP,
    STREAM,
    add,
    effects_by_key,
    effects_of,
    letters,
    new_consumer,
    pending,
    running,
    until,
    until_effects,
    write_effect,
)


async def test_two_processes_keep_the_order_of_each_key(redis: Redis, effects: Any) -> None:
    """Under two names at once, and cut again and again, each effect is made once and in order."""
    sent: dict[str, list[str]] = {}

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        await asyncio.sleep(0.002)

    options: dict[str, Any] = {"concurrency": 4, "batch_size": 5, "claim_after": 2.0}
    first = new_consumer(redis, effects, handler, name="a", **options)
    second = new_consumer(redis, effects, handler, name="b", **options)
    async with running(first), running(second):
        for number in range(180):
            sent.setdefault(f"k{number % 7}", []).append(await add(redis, f"k{number % 7}"))
            if number % 60 == 59:
                await redis.client_kill_filter(_type="normal", skipme=True)
        await until_effects(effects, 180)
    assert await effects_by_key(effects) == sent
    assert first.stats.handled + second.stats.handled == 180
    assert min(first.stats.handled, second.stats.handled) > 0
    assert await pending(redis) == 0


async def test_a_name_is_forgotten_only_with_nothing_pending(redis: Redis, effects: Any) -> None:
    """Redis would forget the pending entries with it, and the events would be lost."""
    event_id = await add(redis)
    await redis.xgroup_create(STREAM, GROUP, id=0)
    await redis.xreadgroup(GROUP, "gone", {STREAM: ">"})
    assert not await forget_consumer(redis, STREAM, GROUP, "gone")
    consumer = new_consumer(redis, effects, claim_after=0)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 1)
    assert await effects_of(effects) == [event_id]
    assert await forget_consumer(redis, STREAM, GROUP, "gone")
    names: Any = await redis.xinfo_consumers(STREAM, GROUP)
    assert [consumer["name"] for consumer in names] == [b"1"]


async def test_keys_are_handled_at_once(redis: Redis, effects: Any) -> None:
    """As many handlers run as the options say, each with a key of its own."""
    together = asyncio.Barrier(4)

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await together.wait()
        await write_effect(event, session)

    sent = {key: [await add(redis, key), await add(redis, key)] for key in "abcd"}
    consumer = new_consumer(redis, effects, handler, concurrency=4)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 8)
    assert await effects_by_key(effects) == sent


async def test_a_failing_key_holds_up_no_other(redis: Redis, effects: Any) -> None:
    """While a key waits for its next try, even one worker goes on with the others."""
    bad = [await add(redis, "bad"), await add(redis, "bad")]
    good = [await add(redis, "good") for _ in range(3)]
    tries = 0

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        nonlocal tries
        if str(event.event_id) == bad[0]:
            tries += 1
            if tries < 4:
                raise ValueError
        await write_effect(event, session)

    consumer = new_consumer(redis, effects, handler)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 5)
    assert await effects_of(effects) == good + bad


async def test_failed_deliveries_are_counted_over_restarts(redis: Redis, effects: Any) -> None:
    """Five deliveries are five, in however many processes they were."""
    await add(redis)
    tries = 0

    async def handler(_event: Event[PricesUpdated], _session: AsyncSession) -> None:
        nonlocal tries
        tries += 1
        raise ValueError

    consumer = new_consumer(redis, effects, handler)
    async with running(consumer) as stop:
        await until(lambda: tries == 3)
        stop.set()
    made = tries
    successor = new_consumer(redis, effects, handler)
    async with running(successor):
        await until(lambda: successor.stats.dead == 1)
    assert made >= 3
    assert tries <= 5
    (letter,) = await letters(effects)
    assert letter.deliveries == 5


async def test_a_batch_is_one_transaction(redis: Redis, effects: Any) -> None:
    """A handler of batches gets what is new, in order, and all its effects commit together."""
    sizes: list[int] = []
    consumer = new_consumer(redis, effects, None, batch_size=50)

    @consumer.on_batch(PricesUpdated)
    async def handle(events: Any, session: AsyncSession) -> None:
        sizes.append(len(events))
        for event in events:
            await write_effect(event, session)

    sent = [await add(redis) for _ in range(100)]
    for event_id in sent[:20]:
        await add(redis, event_id=event_id)
    async with running(consumer):
        await until(lambda: consumer.stats.handled + consumer.stats.duplicates == 120)
    assert await effects_of(effects) == sent
    assert (sizes, consumer.stats.duplicates) == ([50, 50], 20)
    async with effects() as session:
        assert await session.scalar(text("SELECT count(DISTINCT xmin::text) FROM effects")) == 2
    assert await pending(redis) == 0


async def test_a_batch_that_fails_is_handled_apart(redis: Redis, effects: Any) -> None:
    """One hopeless event of a batch is the one dead letter; the others have their effects."""
    consumer = new_consumer(redis, effects, None)

    @consumer.on_batch(PricesUpdated)
    async def handle(events: Any, session: AsyncSession) -> None:
        for event in events:
            await write_effect(event, session)
            if event.key == "bad":
                raise ValueError

    sent = [await add(redis), await add(redis, "bad"), await add(redis)]
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 2 and consumer.stats.dead == 1)
    assert await effects_of(effects) == [sent[0], sent[2]]
    assert len(await letters(effects)) == 1
    assert await pending(redis) == 0


async def test_a_backlog_stays_on_redis(redis: Redis, effects: Any) -> None:
    """However many events wait, a slow consumer has at most two batches in hand."""
    await asyncio.gather(*(add(redis, f"k{number}") for number in range(400)))
    most = 0

    async def slow(event: Event[PricesUpdated], session: AsyncSession) -> None:
        nonlocal most
        if most < 20 or event.key.endswith("0"):
            most = max(most, await pending(redis))
        await write_effect(event, session)

    consumer = new_consumer(redis, effects, slow, batch_size=10, concurrency=5)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 400)
    assert 10 <= most <= 20
