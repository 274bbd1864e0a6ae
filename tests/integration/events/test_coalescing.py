"""Many tasks share one publisher, its writes and its bounds."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch.event.v1 import ShrinkflationDetected
from cartsnitch_common.config import Settings
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.errors import (
    EventInDoubtError,
    InvalidFieldError,
    NotAPublisherError,
    ServerUnavailableError,
    SetupError,
)
from cartsnitch_common.events import (
    CoalescingPublisher,
    async_redis,
    subscribe,
)
from tests.event_payloads import prices, receipts, shrinkflation
from tests.integration.events.publishing import SERVICE, heard, restricted
from tests.lossy import Lossy


async def test_many_tasks_share_writes_and_keep_their_order(own_valkey: ValkeyServer) -> None:
    """A hundred tasks need one connection and few writes; each task's events stay in order."""
    client: Any = async_redis(Settings.load(redis_url=own_valkey.url))
    async with heard(client) as found, CoalescingPublisher(client, service=SERVICE) as publisher:
        before = await client.info("stats")

        async def task(name: str) -> list[str]:
            return [await publisher.publish(prices(), key=name) for _ in range(20)]

        made = await asyncio.gather(*(task(f"task-{number}") for number in range(100)))
        after = await client.info("stats")
    reads = after["total_reads_processed"] - before["total_reads_processed"]
    connections = after["total_connections_received"] - before["total_connections_received"]
    by_task = defaultdict(list)
    for event in found:
        by_task[event.key].append(str(event.event_id))
    assert by_task == {f"task-{number}": ids for number, ids in enumerate(made)}
    assert connections <= 1
    assert reads < 400, "2,000 events went out in hardly fewer writes"
    await client.aclose()


async def test_each_error_reaches_its_own_caller(own_valkey: ValkeyServer) -> None:
    """A wrong event and a refused one fail where they were published; the rest is out."""
    async with (
        restricted(own_valkey) as client,
        heard(client) as found,
        CoalescingPublisher(client, service=SERVICE) as publisher,
    ):
        results = await asyncio.gather(
            publisher.publish(prices(), key="a"),
            publisher.publish(prices(0), key="b"),
            publisher.publish(receipts(), key="c"),
            publisher.publish(shrinkflation(), key="d"),
            publisher.publish(prices(), key="e"),
            return_exceptions=True,
        )
    kinds = [type(result) for result in results]
    assert kinds == [str, InvalidFieldError, ServerUnavailableError, NotAPublisherError, str]
    assert [event.key for event in found] == ["a", "e"]


async def test_a_cancelled_task_disturbs_no_other(redis: Redis) -> None:
    """Whichever tasks are cancelled, and when: each other event is out, once."""
    chance = random.Random(5)  # noqa: S311 - the same tasks each time
    async with heard(redis) as found, CoalescingPublisher(redis, service=SERVICE) as publisher:
        tasks = [
            asyncio.create_task(publisher.publish(prices(), key=f"key-{number}"))
            for number in range(600)
        ]
        cancelled = set(chance.sample(range(600), 300))
        for number in sorted(cancelled, key=lambda _: chance.random()):
            tasks[number].cancel()
            if chance.random() < 0.2:
                await asyncio.sleep(0)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    keys = [event.key for event in found]
    assert len(keys) == len(set(keys))
    for number, result in enumerate(results):
        if number not in cancelled:
            assert isinstance(result, str)
            assert f"key-{number}" in keys
    assert any(isinstance(result, asyncio.CancelledError) for result in results)


@pytest.mark.parametrize("loss", ["cut", "silence"])
async def test_what_is_in_flight_on_a_lost_connection_is_in_doubt(
    far: Redis, proxy: Lossy, loss: Any
) -> None:
    """All that were in the write learn that they may be out; nothing is sent again."""
    async with CoalescingPublisher(far, service=SERVICE) as publisher:
        await publisher.publish(prices(), key="k")
        proxy.lose_answer(b"PUBLISH", loss)
        first = [asyncio.create_task(publisher.publish(prices(), key="k")) for _ in range(50)]
        await asyncio.sleep(0.05)
        later = asyncio.create_task(publisher.publish(prices(), key="k"))
        results = await asyncio.gather(*first, return_exceptions=True)
        assert {type(result) for result in results} == {EventInDoubtError}
        assert "may have been published" in str(results[0])
        assert await later  # it had not been sent, and went out on a new connection
    assert proxy.seen(b"PUBLISH") == 51


async def test_what_waits_is_bounded(far: Redis, proxy: Lossy) -> None:
    """While Redis does not answer, publishers wait instead of filling the memory."""
    size = 2000
    async with CoalescingPublisher(far, service=SERVICE, most_waiting=size) as publisher:
        await publisher.publish(prices(), key="k")
        proxy.lose_answer(b"PUBLISH", "silence")
        tasks = [asyncio.create_task(publisher.publish(prices(), key="k")) for _ in range(300)]
        sizes = []
        while not all(task.done() for task in tasks):
            sizes.append(publisher._size)
            await asyncio.sleep(0.01)
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert max(sizes) < size + 500
    assert {type(result) for result in results} == {str, EventInDoubtError}


async def test_who_waits_for_room_keeps_its_place(redis: Redis) -> None:
    """Events go out in the order of the calls, also of tasks that come while others wait."""
    publisher = CoalescingPublisher(redis, service=SERVICE, most_waiting=1)
    keys = [f"key-{number:02}" for number in range(60)]
    calls: list[str] = []

    async def publish_some(some: list[str]) -> None:
        for key in some:
            calls.append(key)
            await publisher.publish(prices(), key=key)

    async with heard(redis) as found:
        async with asyncio.TaskGroup() as tasks:
            for first in range(6):
                tasks.create_task(publish_some(keys[first::6]))
        await publisher.aclose()
    assert [event.key for event in found] == calls


async def test_closing_waits_for_what_was_published(redis: Redis) -> None:
    """What was taken goes out, in the order of the calls; afterwards nothing is taken."""
    publisher = CoalescingPublisher(redis, service=SERVICE)
    keys = [f"key-{number}" for number in range(50)]
    async with heard(redis) as found:
        tasks = [asyncio.create_task(publisher.publish(prices(), key=key)) for key in keys]
        await asyncio.sleep(0)
        await publisher.aclose()
        ids = await asyncio.gather(*tasks)
    assert [(event.key, str(event.event_id)) for event in found] == [*zip(keys, ids, strict=True)]
    with pytest.raises(SetupError, match="closed"):
        await publisher.publish(prices(), key="k")


async def test_nobody_waits_for_a_sender_that_was_ended(far: Redis, proxy: Lossy) -> None:
    """Should the event loop's owner cancel the sender, each caller has an error."""
    publisher = CoalescingPublisher(far, service=SERVICE)
    await publisher.publish(prices(), key="k")
    proxy.lose_answer(b"PUBLISH", "silence")
    tasks = [asyncio.create_task(publisher.publish(prices(), key="k")) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert publisher._sender is not None
    publisher._sender.cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
    assert {type(result) for result in results} == {EventInDoubtError}
    assert await publisher.publish(prices(), key="k")


async def test_a_lone_event_is_sent_at_once(redis: Redis) -> None:
    """Nobody waits for company: an event of one task is out before the call returns."""
    async with (
        CoalescingPublisher(redis, service="shrinkray") as publisher,
        subscribe(redis, ShrinkflationDetected) as events,
    ):
        await publisher.publish(shrinkflation(), key="k")
        async for event in events:
            assert event.key == "k"
            break
