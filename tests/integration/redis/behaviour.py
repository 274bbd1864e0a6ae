"""What holds in every form of Redis; a test file gives the fixture ``place`` and imports it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text

from cartsnitch.event.v1 import CouponsUpdated, PricesUpdated, ReceiptsIngested
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of, bindings
from cartsnitch_common.db.models import LoggedEvent, OutboxEvent
from cartsnitch_common.events import (
    CoalescingPublisher,
    Consumer,
    ConsumerOptions,
    async_redis,
    check_redis,
    check_redis_sync,
    publish,
    publish_all,
    publish_sync,
    subscribe,
    sync_redis,
)
from cartsnitch_common.events.client import RedisClient, check_rights_sync
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from tests.event_payloads import all_payloads, coupons, prices, publisher_of, receipts
from tests.integration.events import consuming, relaying
from tests.integration.redis.conftest import Place, Sessions

OPTIONS = ConsumerOptions(block=0.2, first_wait=0.01, longest_wait=0.05, claim_after=1.0)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[RedisClient]:
    client = async_redis(settings)
    try:
        yield client
    finally:
        await client.aclose()


async def write(sessions: Sessions, keys: list[str]) -> list[str]:
    """For each key an event on either of two channels, in a transaction each."""
    written = []
    for key in keys:
        async with sessions.begin() as session:
            for payload, service in ((prices(), "receiptwitness"), (coupons(), "clipartist")):
                envelope = await enqueue(session, payload, service=service, key=key)
                written.append(envelope.event_id)
    return written


def new_consumer(redis: RedisClient, sessions: Sessions) -> Consumer[Any]:
    consumer = Consumer(redis, SqlInbox(sessions), group="stickershock", options=OPTIONS)
    consumer.on(PricesUpdated)(consuming.write_effect)
    consumer.on(CouponsUpdated)(consuming.write_effect)
    return consumer


async def effects(sessions: Sessions) -> list[str]:
    async with sessions() as session:
        found = await session.execute(text("SELECT event_id FROM effects ORDER BY n"))
        return [str(event_id) for event_id in found.scalars()]


async def until_effects(sessions: Sessions, count: int) -> list[str]:
    async with asyncio.timeout(40):
        while len(found := await effects(sessions)) < count:  # noqa: ASYNC110 - a table tells
            await asyncio.sleep(0.02)
    return found


def in_order(found: list[str], written: list[str], keys: list[str]) -> bool:
    """Whether the events of each channel and key took effect once, as ``write`` wrote them.

    Events of different keys have no order: a relay may read those of one while those of
    another are just committed.
    """
    lanes: dict[tuple[int, str], list[str]] = {}
    for place, event in enumerate(written):
        lanes.setdefault((place % 2, keys[place // 2]), []).append(event)
    return len(found) == len(written) and all(
        [event for event in found if event in lane] == lane for lane in lanes.values()
    )


async def test_the_checks_name_the_server(place_settings: Settings) -> None:
    """With and without asyncio the server is found, new enough, and grants what is needed."""
    found = await check_redis(place_settings)
    assert found.partition(" ")[0] in {"redis", "valkey"}
    assert found == await asyncio.to_thread(check_redis_sync, place_settings)
    await asyncio.to_thread(check_rights_sync, place_settings)


async def test_every_event_is_heard(place_settings: Settings) -> None:
    """What is published with and without asyncio arrives at one subscription to all channels."""
    payloads = all_payloads()
    async with connected(place_settings) as redis:
        async with subscribe(redis, *(binding.payload for binding in bindings())) as events:
            plain = sync_redis(place_settings)
            for payload in payloads.values():
                service = publisher_of(payload)
                await publish(redis, payload, service=service, key="a")
                await asyncio.to_thread(publish_sync, plain, payload, service=service, key="s")
            plain.close()
            heard = []
            async with asyncio.timeout(10):
                async for event in events:
                    heard.append((event.type.value, event.key))
                    if len(heard) == 2 * len(payloads):
                        break
        assert sorted(heard) == sorted((name, key) for name in payloads for key in "as")


async def test_events_published_together_are_heard(place_settings: Settings) -> None:
    """A batch of several channels and what many tasks publish at once arrive, each in order."""
    numbers = range(20)
    async with (
        connected(place_settings) as redis,
        CoalescingPublisher(redis, service="receiptwitness") as publisher,
        subscribe(redis, PricesUpdated, ReceiptsIngested) as events,
    ):
        batch = [(payload, f"{number}") for number in numbers for payload in (prices(), receipts())]
        ids = await publish_all(redis, batch, service="receiptwitness")
        ids += await asyncio.gather(
            *(publisher.publish(prices(), key=f"{number}") for number in numbers)
        )
        heard: dict[str, list[str]] = {}
        count = 0
        async with asyncio.timeout(10):
            async for event in events:
                heard.setdefault(event.type.value, []).append(str(event.event_id))
                count += 1
                if count == len(ids):
                    break
    channels = [binding_of(kind).channel for kind in (PricesUpdated, ReceiptsIngested)]
    assert [heard[channel] for channel in channels] == [ids[:40:2] + ids[40:], ids[1:40:2]]


async def test_a_batch_reaches_its_streams(
    place_settings: Settings, place_sessions: Sessions
) -> None:
    """One batch with events of two channels is on both streams, in order, and in the log."""
    written = await write(place_sessions, ["a", "b", "a"])
    async with connected(place_settings) as redis:
        assert await Relay(place_settings, redis=redis).run_once() == 6
        for kind, expected in ((PricesUpdated, written[::2]), (CouponsUpdated, written[1::2])):
            out: Any = await relaying.on_the_wire(redis, binding_of(kind).stream)
            assert [envelope.event_id for envelope in out] == expected
    assert await relaying.count(place_sessions, OutboxEvent) == 0
    assert await relaying.count(place_sessions, LoggedEvent) == 6


async def test_lost_connections_lose_no_event(
    place: Place, place_settings: Settings, place_sessions: Sessions
) -> None:
    """While connections are cut again and again, each effect is made once and in order."""
    async with connected(place_settings) as redis:
        keys = [key for number in range(10) for key in (f"k{number % 3}", "k")]
        written: list[str] = []
        consumer, relay = new_consumer(redis, place_sessions), Relay(place_settings)
        async with consuming.running(consumer), relaying.running(relay):
            cuts = 0
            for at in range(0, len(keys), 2):
                written += await write(place_sessions, keys[at : at + 2])
                await asyncio.sleep(0.03)
                cuts += await asyncio.to_thread(place.cut)
            found = await until_effects(place_sessions, len(written))
        assert cuts >= 10
        assert in_order(found, written, keys)
        for kind in (PricesUpdated, CouponsUpdated):
            state: Any = await redis.xpending(binding_of(kind).stream, "stickershock")
            assert state["pending"] == 0


async def test_a_cut_subscription_listens_anew(place: Place, place_settings: Settings) -> None:
    """After a cut the subscription hears again, and tells of the cut."""
    async with connected(place_settings) as redis, subscribe(redis, PricesUpdated) as events:
        hearing = asyncio.ensure_future(anext(aiter(events)))
        await asyncio.sleep(0.05)
        assert await asyncio.to_thread(place.cut, "pubsub") >= 1
        async with asyncio.timeout(10):
            while not hearing.done():
                await publish(redis, prices(), service="stickershock", key="after")
                await asyncio.sleep(0.05)
        assert (await hearing).key == "after"
        assert events.stats.cuts == 1
