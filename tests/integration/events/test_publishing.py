from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch_common.config import Settings
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.errors import (
    EventInDoubtError,
    EventsNotPublishedError,
    InvalidFieldError,
    NotAPublisherError,
    ServerUnavailableError,
)
from cartsnitch_common.events import (
    CoalescingPublisher,
    async_redis,
    publish,
    publish_all,
    publish_sync,
    sync_redis,
)
from tests.event_payloads import prices, receipts
from tests.integration.events.publishing import SERVICE, heard, restricted
from tests.lossy import Lossy


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
