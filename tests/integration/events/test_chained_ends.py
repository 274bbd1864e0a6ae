"""A consumer that ends while a commit has begun the next event already."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import Event
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.delivery import FAULT_POINTS
from cartsnitch_common.events.observe import Silent
from tests.integration.events.chaining import (
    Connection,
    Seen,
    add_keys,
    marks,
    new_consumer,
    none_idle,
    write,
)
from tests.integration.events.consuming import (
    Killed,
    add,
    effects_by_key,
    effects_of,
    letters,
    pending,
    running,
    until,
    until_effects,
)


@pytest.mark.parametrize("point", FAULT_POINTS)
async def test_a_death_at_any_step_loses_and_repeats_nothing(
    redis: Redis, effects: Any, inbox: AsyncpgInbox, point: str
) -> None:
    """What was begun is rolled back, with its mark, and left to the successor."""
    sent = await add_keys(redis, 40)
    reached = 0

    async def die(at: str) -> None:
        nonlocal reached
        if at == point:
            reached += 1
            if reached % 3 == 0 or point == "entry read":
                raise Killed

    for _ in range(3):
        options = {"concurrency": 2, "batch_size": 12}
        consumer = new_consumer(redis, inbox, fault_point=die, options=options)
        with pytest.raises(Killed):
            await asyncio.wait_for(consumer.run(asyncio.Event()), 10)
        await none_idle(effects)
        assert await marks(effects) == set(await effects_of(effects))
    successor = new_consumer(redis, inbox)
    async with running(successor):
        await until_effects(effects, 40)
    assert sorted(await effects_of(effects)) == sorted(sent)
    assert await pending(redis) == 0


async def test_a_stop_lets_what_was_begun_come_to_its_end(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """The event that a commit has begun is handled, and none behind it."""
    sent, stop = await add_keys(redis, 10), asyncio.Event()

    async def end(at: str) -> None:
        if at == "effect committed":
            stop.set()

    await asyncio.wait_for(new_consumer(redis, inbox, fault_point=end).run(stop), 10)
    assert await effects_of(effects) == sent[:2]
    assert await marks(effects) == set(sent[:2])
    await none_idle(effects)
    successor = new_consumer(redis, inbox)
    async with running(successor):
        await until(lambda: successor.stats.handled == 8)
    assert await effects_of(effects) == sent


async def test_a_cancelled_consumer_leaves_no_transaction(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """Wherever a cancellation meets it, and in the commit that begins the next event too."""
    seen = Seen()

    sent: dict[str, list[str]] = {}
    for number in range(400):
        key = f"k{number % 40}"
        sent.setdefault(key, []).append(await add(redis, key))
    for number in range(12):
        # What it had in hand is its successor's second delivery, which no commit begins.
        options = {"concurrency": 3, "batch_size": 6}
        consumer = new_consumer(redis, inbox, seen.write, options=options)
        task = asyncio.create_task(consumer.run(asyncio.Event()))
        async with asyncio.timeout(10):
            while consumer.stats.handled < 18:  # noqa: ASYNC110 - a counter tells
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.0003 * number)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        await none_idle(effects)
        found = [one for ids in (await effects_by_key(effects)).values() for one in ids]
        assert await marks(effects) == set(found)
    assert seen.chained > 30
    successor = new_consumer(redis, inbox)
    async with running(successor):
        await until_effects(effects, 400)
    assert await effects_by_key(effects) == sent


async def test_a_connection_that_is_cut_loses_and_repeats_nothing(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """The server ends a connection in which a commit begins the next event."""
    cut: set[str] = set()

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        await write(event, connection)
        if event.key not in cut and int(event.key[1:]) % 4 == 0:
            cut.add(event.key)
            # It ends behind this statement, at the latest in the commit.
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid(), 0)")

    sent = await add_keys(redis, 40)
    options = {"most_deliveries": 1, "concurrency": 2}
    consumer = new_consumer(redis, inbox, handle, options=options)
    async with running(consumer):
        await until(lambda: consumer.stats.handled + consumer.stats.duplicates >= 40)
    assert len(cut) == 10
    assert sorted(await effects_of(effects)) == sorted(sent)
    assert await letters(effects) == []
    await none_idle(effects)


class _Broken(Silent):
    """Fails once, before the event that a commit has begun is handled."""

    def __init__(self) -> None:
        self.failed = False

    @contextmanager
    def handling(self, consumer: str, event: Any) -> Iterator[None]:
        del consumer
        if event.key == "k1" and not self.failed:
            self.failed = True
            raise ValueError
        yield


@pytest.mark.parametrize("most_deliveries", [1, 2])
async def test_an_observer_that_fails_leaves_no_transaction(
    redis: Redis, effects: Any, inbox: AsyncpgInbox, most_deliveries: int
) -> None:
    """What was begun for an event is rolled back before its next try, or its dead letter."""
    looked: list[str] = []

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        await write(event, connection)
        if event.key == "k2":
            await none_idle(effects, but=await connection.fetchval("SELECT pg_backend_pid()"))
            looked.append(event.key)

    sent = await add_keys(redis, 3)
    options = {"most_deliveries": most_deliveries}
    consumer = new_consumer(redis, inbox, handle, observer=_Broken(), options=options)
    async with running(consumer):
        await until(lambda: consumer.stats.handled + consumer.stats.dead == 3, 5)
    assert looked == ["k2"]
    found = sent if most_deliveries > 1 else [sent[0], sent[2]]
    assert sorted(await effects_of(effects)) == sorted(found)
