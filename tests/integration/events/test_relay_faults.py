from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import defaultdict
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import LoggedEvent, OutboxEvent
from cartsnitch_common.errors import DatabaseUnavailableError
from cartsnitch_common.events import async_redis
from cartsnitch_common.events.names import RELAY_LOCKS
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

END_A_HOLDER = f"""
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND classid = {RELAY_LOCKS} AND objid > 0 AND objid < 100
AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1
"""


async def test_another_relay_takes_over(
    settings: Settings, sessions: Any, redis: Redis, engine: AsyncEngine
) -> None:
    """When a relay is cut off in the midst of a batch, another goes on at once."""
    at_work = asyncio.Event()

    async def hang(point: Point) -> None:
        if point is Point.BEFORE_PUBLISH:
            at_work.set()
            await asyncio.Event().wait()

    (event_id,) = await write(sessions, "k")
    patient = RelayOptions(stuck_after=60)
    stuck = asyncio.create_task(Watched(settings, hang, options=patient).run(asyncio.Event()))
    await at_work.wait()
    assert await Relay(settings).run_once() == 0
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


async def test_a_relay_that_was_suspended_publishes_nothing_late(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """It loses its partitions, another publishes, and it finds that out before it publishes."""
    relayed = []

    async def wait_too_long(point: Point) -> None:
        if point is Point.BEFORE_PUBLISH:
            relayed.append(await Relay(settings).run_once())
            await asyncio.sleep(1)
            relayed.append(await Relay(settings).run_once())

    (event_id,) = await write(sessions, "k")
    relay = Watched(settings, wait_too_long, options=RelayOptions(stuck_after=0.3))
    with pytest.raises(DatabaseUnavailableError):
        await relay.run_once()
    assert relayed == [0, 1]
    assert [envelope.event_id for envelope in await on_the_wire(redis)] == [event_id]


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


async def test_a_channel_that_is_refused_stands_before_no_other(
    settings: Settings, sessions: Any, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """More events than a batch holds wait for Redis to take them; all others go on."""
    caplog.set_level(logging.INFO)
    await redis.set(STREAM, "not a stream")
    refused = await write(sessions, *["k"] * 30)
    async with running(Relay(settings, options=RelayOptions(batch_size=10))):
        async with sessions.begin() as session:
            await enqueue(session, coupons(), service="clipartist", key="k")
        await until_empty(sessions, left=30)
        assert await redis.xlen("{cartsnitch.coupons.updated}:stream") == 1
        await redis.delete(STREAM)
        await until_empty(sessions)
    assert [envelope.event_id for envelope in await on_the_wire(redis)] == refused
    said = [record.getMessage() for record in caplog.records]
    reason = "the server refuses the command (WRONGTYPE)"
    assert said.count(f"the relay holds back cartsnitch.prices.updated: {reason}") == 1
    assert said.count("the relay goes on with cartsnitch.prices.updated") == 1


async def test_a_channel_is_published_whole_or_not_at_all(
    settings: Settings, sessions: Any, redis: Redis
) -> None:
    """When Redis refuses one command, no later event of the batch's channel is out before."""
    await redis.acl_setuser(
        "half", enabled=True, passwords=["+pw"], commands=["+@all", "-publish"], keys=["*"]
    )
    port = redis.get_connection_kwargs()["port"]
    half = async_redis(Settings.load(redis_url=f"redis://half:pw@127.0.0.1:{port}/0"))
    await write(sessions, "a", "b")
    try:
        with pytest.raises(RedisError):
            await Relay(settings, redis=half).run_once()
    finally:
        await half.aclose()
        await redis.acl_deluser("half")
    assert await redis.dbsize() == 0
    assert await Relay(settings).run_once() == 2


async def test_a_relay_of_the_first_version_keeps_others_out(
    settings: Settings, sessions: Any, engine: AsyncEngine
) -> None:
    """While one works, which knows no partitions, nobody else does, and the other way round."""
    await write(sessions, "k")
    lock = text(f"SELECT pg_try_advisory_xact_lock({RELAY_LOCKS}, 0)")
    async with engine.begin() as first_version:
        assert await first_version.scalar(lock)
        assert await Relay(settings).run_once() == 0
    found = []

    async def look(point: Point) -> None:
        if point is Point.READ:
            async with engine.begin() as first_version:
                found.append(await first_version.scalar(lock))

    assert await Watched(settings, look).run_once() == 1
    assert found == [False]


async def test_relays_that_are_cut_off_lose_and_reorder_nothing(
    settings: Settings, sessions: Any, redis: Redis, engine: AsyncEngine
) -> None:
    """Four relays under cuts, producers that share keys and roll back: all there, in order."""
    expected: dict[str, list[str]] = defaultdict(list)
    undone: set[str] = set()
    dice = random.Random(3)  # noqa: S311

    async def produce() -> None:
        for _ in range(40):
            key = f"key-{dice.randrange(12)}"
            async with sessions() as session:
                envelope = await enqueue(session, prices(), service="receiptwitness", key=key)
                await asyncio.sleep(dice.choice([0, 0, 0.01]))
                if dice.random() < 0.2:
                    undone.add(envelope.event_id)
                    await session.rollback()
                    continue
                # The lock is held: whoever comes next for this key commits later.
                expected[key].append(envelope.event_id)
                await session.commit()

    async def cut(points: list[Point]) -> None:
        """End the session of a relay that passes a point, of each kind in turn."""

        async def at(point: Point) -> None:
            if points and point is points[0]:
                points.pop(0)
                async with engine.connect() as connection:
                    await connection.execute(text(END_A_HOLDER))

        options = RelayOptions(batch_size=10, poll_interval=0.005)
        await Watched(settings, at, options=options).run(stop)

    stop = asyncio.Event()
    points = [*Point][:4] * 5
    async with asyncio.TaskGroup() as tasks:
        for _ in range(4):
            tasks.create_task(cut(points))
        await asyncio.gather(*(produce() for _ in range(10)))
        await until_empty(sessions)
        stop.set()
    out = await on_the_wire(redis)
    assert by_key(out) == expected
    assert not undone & {envelope.event_id for envelope in out}
    assert len(points) < 5, "too few cuts to prove anything"
    assert len(out) > sum(map(len, expected.values())), "no cut came after publishing"
