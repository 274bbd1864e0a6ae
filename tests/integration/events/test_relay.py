from __future__ import annotations

import asyncio
import datetime as dt
import logging
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch.event.v1 import Envelope, PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.models import LoggedEvent, OutboxEvent
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.events import async_redis, decode, subscribe
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay, RelayOptions
from tests.event_payloads import coupons, prices

STREAM = binding_of(PricesUpdated).stream


async def write(sessions: Any, *keys: str) -> list[str]:
    """One transaction with an event for each key; returns the event ids."""
    async with sessions.begin() as session:
        return [
            (await enqueue(session, prices(), service="receiptwitness", key=key)).event_id
            for key in keys
        ]


async def on_the_wire(redis: Redis, stream: str = STREAM) -> list[Envelope]:
    return [decode(fields[b"e"]) for _, fields in await redis.xrange(stream)]


async def count(sessions: Any, model: Any) -> int:
    async with sessions() as session:
        return await session.scalar(select(func.count()).select_from(model))


async def until_empty(sessions: Any, seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while await count(sessions, OutboxEvent):  # noqa: ASYNC110 - the database tells
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for relay in relays:
            tasks.create_task(relay.run(stop))
        try:
            yield stop
        finally:
            stop.set()


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
    found: dict[str, list[str]] = defaultdict(list)
    for envelope in await on_the_wire(redis):
        found[envelope.key].append(envelope.event_id)
    assert found == expected
    assert sum(map(len, found.values())) > 200


async def test_two_relays_publish_each_event_once_and_in_order(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """Only one relay is in a batch at a time, so nothing is doubled or passed by."""
    options = RelayOptions(batch_size=5, poll_interval=0.001, standby_interval=0.001)
    async with running(*(Relay(settings, options=options) for _ in range(3))):
        sent = [event_id for _ in range(60) for event_id in await write(sessions, *"aabbc")]
        await until_empty(sessions)
    assert [envelope.event_id for envelope in await on_the_wire(redis)] == sent


class Pipeline:
    """A pipeline to nowhere, whose answer is somebody else's."""

    def __init__(self, execute: Callable[[], Awaitable[list[Any]]]) -> None:
        self._execute = execute

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None: ...

    def xadd(self, *_args: Any, **_options: Any) -> None:
        """Take it and forget it."""

    def publish(self, *_args: Any) -> None:
        """Take it and forget it."""

    async def execute(self, **_options: Any) -> list[Any]:
        """Answer as the test says."""
        return await self._execute()


async def test_a_standby_takes_over(
    settings: Settings,
    sessions: Any,
    redis: Redis,
    engine: AsyncEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the relay at work is cut off in the midst of a batch, another goes on in 2 s."""
    at_work = asyncio.Event()

    async def hang() -> list[Any]:
        at_work.set()
        await asyncio.Event().wait()
        return []

    hanging = async_redis(settings)
    monkeypatch.setattr(hanging, "pipeline", lambda **_options: Pipeline(hang))
    (event_id,) = await write(sessions, "k")
    stuck = asyncio.create_task(Relay(settings, redis=hanging).run(asyncio.Event()))
    await at_work.wait()
    assert await Relay(settings).run_once() == 0
    assert await redis.exists(STREAM) == 0
    async with running(Relay(settings)):
        await asyncio.sleep(0.2)
        assert await redis.exists(STREAM) == 0
        start = time.monotonic()
        async with engine.connect() as connection:
            cut = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            await connection.execute(text(cut))
        await until_empty(sessions)
        assert time.monotonic() - start < 2
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)
    assert [envelope.event_id for envelope in await on_the_wire(redis)] == [event_id]


async def test_a_stuck_relay_loses_its_lock(
    settings: Settings, sessions: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay that was suspended in a batch does not hold up the others for ever."""
    relayed = []

    async def wait_too_long() -> list[Any]:
        relayed.append(await Relay(settings).run_once())
        await asyncio.sleep(1)
        relayed.append(await Relay(settings).run_once())
        return [b"1-0", 0]

    monkeypatch.setattr(redis, "pipeline", lambda **_options: Pipeline(wait_too_long))
    await write(sessions, "k")
    relay = Relay(settings, redis=redis, options=RelayOptions(stuck_after=0.3))
    with pytest.raises(DBAPIError):
        await relay.run_once()
    assert relayed == [0, 1]


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


async def test_one_refused_stream_does_not_hold_up_the_others(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """What Redis refuses stays pending; what it took is neither sent nor logged again."""
    await redis.set(STREAM, "not a stream")
    async with sessions.begin() as session:
        await enqueue(session, prices(), service="receiptwitness", key="a")
        await enqueue(session, coupons(), service="clipartist", key="b")
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await Relay(settings).run_once()
    assert await count(sessions, OutboxEvent) == 1
    assert await count(sessions, LoggedEvent) == 1
    with pytest.raises(RedisError):
        await Relay(settings).run_once()
    assert await redis.xlen("{cartsnitch.coupons.updated}:stream") == 1
    await redis.delete(STREAM)
    assert await Relay(settings).run_once() == 1
    assert [envelope.key for envelope in await on_the_wire(redis)] == ["a"]


async def test_a_batch_is_published_whole_or_not_at_all(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """When Redis refuses one command, no event that comes later in the batch is out before."""
    only = ["~{cartsnitch.prices.updated}:stream"]
    await redis.acl_setuser(
        "half", enabled=True, passwords=["+pw"], commands=["+@all"], keys=only, channels=["*"]
    )
    port = redis.get_connection_kwargs()["port"]
    half = async_redis(Settings.load(redis_url=f"redis://half:pw@127.0.0.1:{port}/0"))
    async with sessions.begin() as session:
        await enqueue(session, coupons(), service="clipartist", key="b")
        await enqueue(session, prices(), service="receiptwitness", key="a")
    try:
        with pytest.raises(RedisError):
            await Relay(settings, redis=half).run_once()
    finally:
        await half.aclose()
        await redis.acl_deluser("half")
    assert await redis.dbsize() == 0
    assert await Relay(settings).run_once() == 2


async def test_an_outage_of_redis_keeps_events_pending(
    settings: Settings, sessions: Any, own_valkey: ValkeyServer, caplog: pytest.LogCaptureFixture
) -> None:
    """While Redis is dead nothing is lost, one line is logged, and its return is noticed."""
    caplog.set_level(logging.INFO)
    lone = Settings.load(database_url=settings.require_database_url(), redis_url=own_valkey.url)
    async with running(Relay(lone)):
        first = await write(sessions, "k")
        await until_empty(sessions)
        own_valkey.kill()
        second = await write(sessions, "k", "k")
        await asyncio.sleep(1)
        assert await count(sessions, OutboxEvent) == 2
        own_valkey.start()
        start = time.monotonic()
        await until_empty(sessions)
        assert time.monotonic() - start < 4
    client = async_redis(lone)
    assert [envelope.event_id for envelope in await on_the_wire(client)] == [*first, *second]
    await client.aclose()
    said = [record.getMessage() for record in caplog.records]
    assert sum("waits for Redis" in line for line in said) <= 2
    assert any("works with Redis again" in line for line in said)


async def test_an_outage_of_the_database_is_waited_for(
    settings: Settings, sessions: Any, redis: Redis, engine: AsyncEngine
) -> None:
    """A relay whose connections are cut again and again goes on, and loses nothing."""
    own = "pid <> pg_backend_pid() AND datname = current_database()"
    cut = text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {own}")
    async with running(Relay(settings)):
        sent = []
        for _ in range(5):
            sent += await write(sessions, "k")
            await engine.dispose()
            async with engine.connect() as connection:
                await connection.execute(cut)
            sent += await write(sessions, "k")
        await until_empty(sessions)
    found = [envelope.event_id for envelope in await on_the_wire(redis)]
    assert list(dict.fromkeys(found)) == sent


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
