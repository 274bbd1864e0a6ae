from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch.event.v1 import PricesUpdated, ShrinkflationDetected
from cartsnitch_common.config import Settings
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.errors import (
    EventInDoubtError,
    EventsNotPublishedError,
    InvalidFieldError,
    NotAPublisherError,
    ServerUnavailableError,
    SetupError,
)
from cartsnitch_common.events import (
    CoalescingPublisher,
    Event,
    async_redis,
    publish,
    publish_all,
    publish_sync,
    subscribe,
    sync_redis,
)
from tests.event_payloads import prices, receipts, shrinkflation
from tests.lossy import Lossy, lossy

SERVICE = "receiptwitness"
LAST = "the last one"


@pytest.fixture
def proxy(own_valkey: ValkeyServer) -> Iterator[Lossy]:
    """A way to a server of the test's own, on which answers can be lost."""
    with lossy() as proxy:
        proxy.target = own_valkey.port
        yield proxy


@pytest.fixture
async def far(own_valkey: ValkeyServer, proxy: Lossy) -> AsyncIterator[Redis]:
    """A client on that way, with a patience that a test has."""
    url = own_valkey.url.replace(f":{own_valkey.port}", f":{proxy.port}")
    patience = {"redis_socket_timeout": 0.5, "redis_block_time": 0.1}
    client: Any = async_redis(Settings.load(redis_url=url, **patience))
    yield client
    await client.aclose()


@asynccontextmanager
async def heard(redis: Redis, *kinds: Any) -> AsyncIterator[list[Event[Any]]]:
    """What is published in the block, in order, to its end."""
    found: list[Event[Any]] = []

    async def listen() -> None:
        async for event in events:
            if event.key == LAST:
                return
            found.append(event)

    async with subscribe(redis, *(kinds or (PricesUpdated,))) as events:
        listening = asyncio.create_task(listen())
        yield found
        await publish(redis, prices(), service=SERVICE, key=LAST)
        await asyncio.wait_for(listening, 10)


async def test_a_batch_arrives_whole_and_in_order(redis: Redis) -> None:
    """Each event once, in the batch's order, with the ids that were returned."""
    events = [(prices(), f"key-{number}") for number in range(500)]
    async with heard(redis) as found:
        ids = await publish_all(redis, events, service=SERVICE, correlation_id="sync-1")
    assert [event.key for event in found] == [key for _, key in events]
    assert [str(event.event_id) for event in found] == ids
    assert {event.correlation_id for event in found} == {"sync-1"}
    assert await publish_all(redis, [], service=SERVICE) == []


async def test_a_batch_of_any_size_is_sent(redis: Redis) -> None:
    """More than one write carries goes out in several, in the same order."""
    large = prices(500)
    events = [(large, f"key-{number}") for number in range(5 * 1024 * 1024 // large.ByteSize())]
    async with heard(redis) as found:
        await publish_all(redis, events, service=SERVICE)
    assert [event.key for event in found] == [key for _, key in events]


async def test_of_a_batch_with_a_wrong_event_nothing_is_published(redis: Redis) -> None:
    """The rules are asked of every event before the first one goes out."""
    async with heard(redis) as found:
        with pytest.raises(InvalidFieldError) as refused:
            await publish_all(redis, [(prices(), "k"), (prices(0), "k")], service=SERVICE)
        with pytest.raises(NotAPublisherError):
            await publish_all(redis, [(prices(), "k")], service="clipartist")
    assert found == []
    assert refused.value.__notes__ == ["event 1 of 2; none of them is published"]


@asynccontextmanager
async def restricted(server: ValkeyServer) -> AsyncIterator[Redis]:
    """A client that Redis forbids one of its channels."""
    admin = Redis.from_url(server.url)
    await admin.execute_command(
        "ACL", "SETUSER", "some", "on", ">secret", "resetchannels",
        "&cartsnitch.prices.updated", "+@all",
    )  # fmt: skip
    await admin.aclose()
    url = f"redis://some:secret@127.0.0.1:{server.port}/0"
    client: Any = async_redis(Settings.load(redis_url=url))
    yield client
    await client.aclose()


async def test_what_redis_refuses_is_named_event_by_event(own_valkey: ValkeyServer) -> None:
    """The others of the batch are out; each that is not has its place and its reason."""
    async with restricted(own_valkey) as client, heard(client) as found:
        events = [(prices(), "a"), (receipts(), "b"), (prices(), "c"), (receipts(), "d")]
        with pytest.raises(EventsNotPublishedError, match=r"2 of 4 .* at place 1") as refused:
            await publish_all(client, events, service=SERVICE)
    assert [event.key for event in found] == ["a", "c"]
    assert sorted(refused.value.failures) == [1, 3]
    for failure in refused.value.failures.values():
        assert not isinstance(failure, EventInDoubtError)
        assert "access rules" in failure.reason
    assert len(refused.value.event_ids) == len(events)


@pytest.mark.parametrize("loss", ["cut", "silence"])
async def test_a_batch_whose_answer_is_lost_is_in_doubt_and_not_repeated(
    far: Redis, proxy: Lossy, loss: Any
) -> None:
    """Every event of it may be out; each was sent once, and the client goes on."""
    await publish_all(far, [(prices(), "k")], service=SERVICE)
    proxy.lose_answer(b"PUBLISH", loss)
    with pytest.raises(EventsNotPublishedError, match="may have been published") as lost:
        await publish_all(far, [(prices(), "k")] * 3, service=SERVICE)
    assert proxy.seen(b"PUBLISH") == 3
    assert [*lost.value.failures] == [0, 1, 2]
    for failure in lost.value.failures.values():
        assert isinstance(failure, EventInDoubtError)
        assert failure.reason.endswith(
            "the connection broke" if loss == "cut" else "the server does not answer in time"
        )
    await publish_all(far, [(prices(), "k")], service=SERVICE)


async def test_a_publisher_that_is_cancelled_leaves_no_answer_behind(
    far: Redis, proxy: Lossy
) -> None:
    """Whoever publishes next on the client hears of its own event, not of that one."""
    await publish(far, prices(), service=SERVICE, key="k")
    proxy.lose_answer(b"PUBLISH", "silence")
    task = asyncio.create_task(publish(far, prices(), service=SERVICE, key="cancelled"))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with heard(far) as found:
        await publish(far, prices(), service=SERVICE, key="next")
    assert [event.key for event in found] == ["next"]


async def test_publishers_that_share_a_client_do_not_wait_for_each_other(redis: Redis) -> None:
    """Each that finds the client's kept connection in use takes another; each event is out."""
    keys = [f"key-{number}" for number in range(40)]
    async with heard(redis) as found:
        made = await asyncio.gather(
            *(publish(redis, prices(), service=SERVICE, key=key) for key in keys)
        )
    ids = {event.key: str(event.event_id) for event in found}
    assert ids == {envelope.key: envelope.event_id for envelope in made}
    assert len(found) == len(keys)


async def test_without_a_server_nothing_is_in_doubt(own_valkey: ValkeyServer) -> None:
    """What was never sent is told apart from what may be out."""
    client: Any = async_redis(Settings.load(redis_url=own_valkey.url))
    plain: Any = sync_redis(Settings.load(redis_url=own_valkey.url))
    publisher = CoalescingPublisher(client, service=SERVICE)
    await publish(client, prices(), service=SERVICE, key="k")
    publish_sync(plain, prices(), service=SERVICE, key="k")
    own_valkey.close()
    await asyncio.sleep(0.1)  # so that the kept connection is seen to have ended
    with pytest.raises(ServerUnavailableError) as refused:
        await publish(client, prices(), service=SERVICE, key="k")
    assert type(refused.value) is ServerUnavailableError
    with pytest.raises(ServerUnavailableError) as refused:
        await publisher.publish(prices(), key="k")
    assert type(refused.value) is ServerUnavailableError
    with pytest.raises(ServerUnavailableError) as refused:
        publish_sync(plain, prices(), service=SERVICE, key="k")
    assert type(refused.value) is ServerUnavailableError
    await client.aclose()
    plain.close()


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
