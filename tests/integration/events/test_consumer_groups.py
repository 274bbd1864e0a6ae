from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import Event, encode, wrap
from cartsnitch_common.events.settling import Settler
from cartsnitch_common.events.streams import GroupReader, forget_consumer
from tests.event_payloads import prices
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


async def test_a_consumer_waits_for_what_another_has_in_hand(redis: Redis, effects: Any) -> None:
    """An event is not handled while one before it is in the hand of another process."""
    sent = [await add(redis)]
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(event: Event[PricesUpdated], session: AsyncSession) -> None:
        begun.set()
        await go.wait()
        await write_effect(event, session)

    first = new_consumer(redis, effects, slow, name="a", batch_size=1)
    second = new_consumer(redis, effects, name="b")
    async with running(first) as stop:
        await begun.wait()
        stop.set()
        await asyncio.sleep(0.3)  # it reads nothing more
        sent.append(await add(redis))
        async with running(second):
            await asyncio.sleep(0.5)
            assert second.stats.handled == 0
            go.set()
            await until(lambda: second.stats.handled == 1)
    assert await effects_of(effects) == sent


async def test_a_consumer_that_gave_word_in_time_is_not_overtaken(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that looked forsaken, and is renewed before it is claimed, is waited for."""
    pending_of = GroupReader.pending

    async def outdated(reader: GroupReader, *args: Any, **options: Any) -> list[Any]:
        found = await pending_of(reader, *args, **options)
        return [replace(one, idle=99.0) for one in found]

    monkeypatch.setattr(GroupReader, "pending", outdated)
    sent = [await add(redis)]
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(event: Event[PricesUpdated], session: AsyncSession) -> None:
        begun.set()
        await go.wait()
        await write_effect(event, session)

    async with running(new_consumer(redis, effects, slow, name="a")) as stop:
        await begun.wait()
        stop.set()
        await asyncio.sleep(0.3)  # it reads nothing more
        sent.append(await add(redis))
        second = new_consumer(redis, effects, name="b")
        async with running(second):
            await asyncio.sleep(0.5)
            assert second.stats.handled == 0
            go.set()
            await until(lambda: second.stats.handled == 1)
    assert await effects_of(effects) == sent


async def test_what_is_claimed_in_the_place_of_another_entry_is_not_overtaken(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that Redis hands over unasked, the one asked for being done, keeps its place."""
    acknowledged, claimed, go = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hold(point: str) -> None:
        if point == "after ack" and not acknowledged.is_set():
            acknowledged.set()
            await go.wait()  # the first entry stays in hand and is no longer pending

    ready = Settler.ready

    async def too_late(settler: Settler[Any]) -> bool:
        """The other consumer wakes, and is done with the entry that is to be claimed."""
        await redis.xack(STREAM, GROUP, entries[0])
        claimed.set()
        return await ready(settler)

    consumer = new_consumer(
        redis, effects, name="b", claim_after=0.1, concurrency=2, fault_point=hold
    )
    sent = [await add(redis)]
    async with running(consumer):
        await acknowledged.wait()
        monkeypatch.setattr(Settler, "ready", too_late)
        others = [wrap(prices(), service="stickershock", key="k") for _ in range(2)]
        async with redis.pipeline(transaction=True) as pipe:  # before the other one can read them
            for envelope in others:
                pipe.xadd(STREAM, {"e": encode(envelope)})
            pipe.xreadgroup(GROUP, "a", {STREAM: ">"})
            *entries, _ = await pipe.execute()
        await asyncio.wait_for(claimed.wait(), 10)
        sent += [others[1].event_id, await add(redis)]
        await until_effects(effects, 2)
        go.set()
        await until_effects(effects, 3)
    assert await effects_of(effects) == sent


async def test_what_is_claimed_unasked_is_remembered_until_it_is_found(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry handed over from behind what is waited for is not overtaken by later ones."""
    ready = Settler.ready

    async def too_late(settler: Settler[Any]) -> bool:
        await redis.xack(STREAM, GROUP, first)
        return await ready(settler)

    async def read_by_another() -> tuple[str, Any]:
        """Add an entry that another consumer reads before this one can."""
        envelope = wrap(prices(), service="stickershock", key="k")
        async with redis.pipeline(transaction=True) as pipe:
            pipe.xadd(STREAM, {"e": encode(envelope)})
            pipe.xreadgroup(GROUP, "a", {STREAM: ">"})
            entry_id, _ = await pipe.execute()
        return envelope.event_id, entry_id

    await redis.xgroup_create(STREAM, GROUP, id=0, mkstream=True)
    _, first = await read_by_another()
    async with running(new_consumer(redis, effects, name="b", claim_after=4.0)):
        sent = [await add(redis)]
        async with asyncio.timeout(10):
            while not await redis.xpending_range(STREAM, GROUP, "-", "+", 1, "b"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        event_id, behind = await read_by_another()
        sent += [event_id, await add(redis)]
        monkeypatch.setattr(Settler, "ready", too_late)
        await redis.xclaim(STREAM, GROUP, "a", 0, [first, behind], idle=60_000, justid=True)
        await until_effects(effects, 3)
    assert await effects_of(effects) == sent


async def test_a_long_handler_keeps_its_claim(redis: Redis, effects: Any) -> None:
    """A handler that takes four times the claim time is not delivered to anybody else."""
    event_id = await add(redis)
    begun = 0

    async def slow(event: Event[PricesUpdated], session: AsyncSession) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(2.0)
        await write_effect(event, session)
        (entry,) = await redis.xpending_range(STREAM, GROUP, "-", "+", 10)
        assert (entry["consumer"], entry["times_delivered"]) == (b"a", 1)

    first = new_consumer(redis, effects, slow, name="a", claim_after=0.5)
    async with running(first):
        await until(lambda: begun == 1)
        async with running(new_consumer(redis, effects, slow, name="b", claim_after=0.5)):
            await until(lambda: first.stats.handled == 1)
    assert begun == 1
    assert await effects_of(effects) == [event_id]


async def test_a_paused_consumer_that_wakes_finds_its_work_done(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who says nothing for the claim time is overtaken; what it does afterwards is no second."""
    sent = [await add(redis) for _ in range(3)]
    paused, wake = asyncio.Event(), asyncio.Event()

    async def pause(point: str) -> None:
        if point == "entry read":
            paused.set()
            await wake.wait()

    async def silence(*_args: Any) -> None:
        """Renew nothing, as a process that is stopped."""

    sleeper = new_consumer(redis, effects, name="a", claim_after=0.3, fault_point=pause)
    async with running(sleeper):
        await paused.wait()
        renew = GroupReader.renew
        monkeypatch.setattr(GroupReader, "renew", silence)
        other = new_consumer(redis, effects, name="b", claim_after=0.3)
        async with running(other):
            await until(lambda: other.stats.handled == 3)
            monkeypatch.setattr(GroupReader, "renew", renew)
            wake.set()
            await until(lambda: sleeper.stats.duplicates == 3)
            sent.append(await add(redis))
            await until_effects(effects, 4)
    assert await effects_of(effects) == sent
    assert await pending(redis) == 0


async def test_what_a_stop_leaves_is_taken_at_once(redis: Redis, effects: Any) -> None:
    """The next process need not wait for the claim time of one that has said goodbye."""
    sent = [await add(redis) for _ in range(4)]
    started = asyncio.Event()

    async def slow(event: Event[PricesUpdated], session: AsyncSession) -> None:
        started.set()
        await asyncio.sleep(0.2)
        await write_effect(event, session)

    async with running(new_consumer(redis, effects, slow, name="a", claim_after=60)):
        await started.wait()
    assert await pending(redis) == 3
    successor = new_consumer(redis, effects, name="b", claim_after=60)
    async with running(successor):
        await until(lambda: successor.stats.handled == 3, 5)
    assert await effects_of(effects) == sent


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
