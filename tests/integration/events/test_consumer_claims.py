"""What one consumer of a group has in hand, and when another takes it over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import Event, encode, wrap
from cartsnitch_common.events.settling import Settler
from cartsnitch_common.events.streams import GroupReader
from tests.event_payloads import prices
from tests.integration.events.consuming import (
    GROUP,
    STREAM,
    add,
    effects_of,
    new_consumer,
    pending,
    running,
    until,
    until_effects,
    write_effect,
)


async def read_by_another(redis: Redis, count: int) -> tuple[list[str], list[Any]]:
    """Add events that consumer "a" reads before another can; returns event and entry ids."""
    envelopes = [wrap(prices(), service="stickershock", key="k") for _ in range(count)]
    async with redis.pipeline(transaction=True) as pipe:
        for envelope in envelopes:
            pipe.xadd(STREAM, {"e": encode(envelope)})
        pipe.xreadgroup(GROUP, "a", {STREAM: ">"})
        *entries, _ = await pipe.execute()
    return [envelope.event_id for envelope in envelopes], entries


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
        others, entries = await read_by_another(redis, 2)
        await asyncio.wait_for(claimed.wait(), 10)
        sent += [others[1], await add(redis)]
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

    await redis.xgroup_create(STREAM, GROUP, id=0, mkstream=True)
    _, [first] = await read_by_another(redis, 1)
    async with running(new_consumer(redis, effects, name="b", claim_after=4.0)):
        sent = [await add(redis)]
        async with asyncio.timeout(10):
            while not await redis.xpending_range(STREAM, GROUP, "-", "+", 1, "b"):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        [event_id], [behind] = await read_by_another(redis, 1)
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
