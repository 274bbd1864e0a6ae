from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from collections import defaultdict
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import select, text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import LoggedEvent, OutboxEvent
from cartsnitch_common.events import decode, subscribe
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Point, Relay, RelayOptions
from tests.event_payloads import coupons, prices
from tests.integration.events.relaying import (
    STREAM,
    Watched,
    by_key,
    count,
    on_the_wire,
    running,
    until_empty,
    write,
)


@pytest.fixture
def relay(settings: Settings) -> Relay:
    return Relay(settings)


async def test_a_committed_event_is_published_and_logged(
    relay: Relay, sessions: Any, redis: Redis
) -> None:
    """It is on its stream, heard on its channel, in the log, and out of the outbox."""
    async with subscribe(redis, PricesUpdated) as events:
        (event_id,) = await write(sessions, "store-1")
        assert await relay.run_once() == 1
        heard = await anext(aiter(events))
    (sent,) = await on_the_wire(redis)
    assert str(heard.event_id) == sent.event_id == event_id
    async with sessions() as session:
        (logged,) = await session.scalars(select(LoggedEvent))
    assert decode(logged.envelope) == sent
    assert (str(logged.event_id), logged.event_type, logged.key) == (
        event_id,
        "cartsnitch.prices.updated",
        "store-1",
    )
    assert await count(sessions, OutboxEvent) == 0
    assert await relay.run_once() == 0


async def test_a_relay_of_single_events_rests(
    settings: Settings, sessions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a batch is one event, a relay with nothing to do asks a few times a second."""
    looks = 0
    is_waiting = Relay._is_waiting

    async def counted(self: Relay, *args: Any) -> bool:
        nonlocal looks
        looks += 1
        return await is_waiting(self, *args)

    monkeypatch.setattr(Relay, "_is_waiting", counted)
    async with running(Relay(settings, options=RelayOptions(batch_size=1, poll_interval=0.2))):
        await write(sessions, "a", "b", "c")
        await until_empty(sessions)
        await asyncio.sleep(0.5)  # until its pauses are the longest
        looks = 0
        await asyncio.sleep(1)
    assert 2 <= looks <= 10


async def test_a_rolled_back_event_is_not_published(
    relay: Relay, sessions: Any, redis: Redis
) -> None:
    """What was never committed is never heard of."""
    async with sessions() as session:
        await enqueue(session, prices(), service="receiptwitness", key="k")
        assert await relay.run_once() == 0
        await session.rollback()
    assert await relay.run_once() == 0
    assert await redis.exists(STREAM) == 0


async def test_each_event_goes_to_its_own_stream(relay: Relay, sessions: Any, redis: Redis) -> None:
    """One batch may hold events of several channels."""
    async with sessions.begin() as session:
        await enqueue(session, prices(), service="receiptwitness", key="a")
        await enqueue(session, coupons(), service="clipartist", key="b")
    assert await relay.run_once() == 2
    assert [event.key for event in await on_the_wire(redis)] == ["a"]
    other = "{cartsnitch.coupons.updated}:stream"
    assert [event.key for event in await on_the_wire(redis, other)] == ["b"]


async def test_an_event_of_a_newer_version_is_relayed(
    relay: Relay, sessions: Any, redis: Redis
) -> None:
    """A relay that is older than a publisher passes on what it does not know."""
    async with sessions.begin() as session:
        row = {"event_id": "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e5f", "key": "k", "envelope": b"new"}
        session.add(OutboxEvent(event_type="cartsnitch.baskets.compared", **row))
    assert await relay.run_once() == 1
    ((_, fields),) = await redis.xrange("{cartsnitch.baskets.compared}:stream")
    assert fields == {b"e": b"new"}


async def test_events_of_a_key_keep_the_order_of_their_transactions(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """Under concurrent transactions, slow and rolled back ones too, no key is out of order.

    Each transaction appends the next number of its key under the same lock, which
    is the order that the stream must show.
    """
    expected: dict[str, list[str]] = defaultdict(list)
    dice = random.Random(7)  # noqa: S311

    async def produce() -> None:
        for _ in range(25):
            key = f"key-{dice.randrange(4)}"
            async with sessions() as session:
                envelope = await enqueue(session, prices(), service="receiptwitness", key=key)
                await asyncio.sleep(dice.choice([0, 0, 0.002, 0.02]))
                if dice.random() < 0.2:
                    await session.rollback()
                    continue
                # The lock is held: whoever comes next for this key commits later.
                expected[key].append(envelope.event_id)
                await session.commit()

    options = RelayOptions(batch_size=7, poll_interval=0.001)
    async with running(Relay(settings, options=options)):
        await asyncio.gather(*(produce() for _ in range(12)))
        await until_empty(sessions)
    found = by_key(await on_the_wire(redis))
    assert found == expected
    assert sum(map(len, found.values())) > 200


async def test_relays_share_the_work_and_publish_each_event_once_and_in_order(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """Several work at once, on other keys, so that no event is doubled or passed by."""
    options = RelayOptions(batch_size=5, poll_interval=0.001)
    relays = [Watched(settings, options=options) for _ in range(3)]
    keys = [f"key-{number % 40}" for number in range(200)]
    sent = await write(sessions, *keys)
    async with running(*relays):
        sent += [event_id for _ in range(20) for event_id in await write(sessions, *keys[:20])]
        await until_empty(sessions)
    out = await on_the_wire(redis)
    assert sorted(envelope.event_id for envelope in out) == sorted(sent)
    assert by_key(out) == by_key(sorted(out, key=lambda envelope: sent.index(envelope.event_id)))
    assert all(relay.passed[Point.COMMITTED] > 5 for relay in relays)


async def test_two_relays_are_in_a_batch_at_the_same_time(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """None takes so much that another has nothing to do while there is enough for both."""
    await write(sessions, *(f"key-{number}" for number in range(60)))
    both = asyncio.Barrier(2)

    async def meet(point: Point) -> None:
        if point is Point.READ:
            async with asyncio.timeout(5):
                await both.wait()

    relays = [Watched(settings, meet, options=RelayOptions(stuck_after=60)) for _ in range(2)]
    relayed = await asyncio.gather(*(relay.run_once() for relay in relays))
    assert min(relayed) > 5
    assert await redis.xlen(STREAM) == sum(relayed)


async def test_a_batch_is_bounded_in_bytes(settings: Settings, sessions: Any, redis: Redis) -> None:
    """Large events do not add up to a batch that cannot be sent in time; one always fits."""
    async with sessions.begin() as session:
        for _ in range(4):
            payload = coupons(description="x" * 4000, count=10)
            await enqueue(session, payload, service="clipartist", key="k")
    relay = Relay(settings, options=RelayOptions(batch_bytes=60_000))
    assert await relay.run_once() == 2
    assert await Relay(settings, options=RelayOptions(batch_bytes=1)).run_once() == 1
    assert await redis.xlen("{cartsnitch.coupons.updated}:stream") == 3


async def test_a_stream_keeps_what_is_not_older_than_the_retention(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """Entries beyond the retention are trimmed while new ones come; younger ones stay."""
    for number in range(300):
        await redis.xadd(STREAM, {"e": b"old"}, id=f"{number + 1}-0")
    young = int(time.time() * 1000) - 6 * 24 * 3600 * 1000
    await redis.xadd(STREAM, {"e": b"young"}, id=f"{young}-0")
    await write(sessions, "k")
    assert await Relay(settings).run_once() == 1
    kept = await redis.xrange(STREAM)
    assert len(kept) < 200  # trimming is approximate: it drops whole nodes of the stream
    assert kept[-2][1] == {b"e": b"young"}
    await write(sessions, "k")
    short = RelayOptions(retention=dt.timedelta(seconds=0))
    assert await Relay(settings, options=short).run_once() == 1


async def test_a_stop_is_prompt(relay: Relay, sessions: Any) -> None:
    """A relay that has nothing to do, or stands by, ends at once when it is told to."""
    async with sessions() as session:
        for _ in range(2):
            stop = asyncio.Event()
            task = asyncio.create_task(relay.run(stop))
            await asyncio.sleep(0.3)
            stop.set()
            await asyncio.wait_for(task, 1)
            await session.execute(text("SELECT pg_advisory_xact_lock(1129534021, 0)"))
