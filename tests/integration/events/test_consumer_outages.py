from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.embedded import PostgresServer, ValkeyServer
from cartsnitch_common.errors import InboxUnavailableError
from cartsnitch_common.events import Consumer, ConsumerOptions, Event, async_redis
from cartsnitch_common.events.inbox import SqlInbox
from tests.integration.events.consuming import (
    GROUP,
    STREAM,
    add,
    cut_connections,
    effects_of,
    letters,
    new_consumer,
    pending,
    running,
    until,
    write_effect,
)


async def test_a_wiped_redis_gets_its_groups_back(redis: Redis, effects: Any) -> None:
    """After FLUSHALL the consumer makes its groups anew, from the beginning of the streams."""
    consumer = new_consumer(redis, effects)
    sent: list[str] = []
    async with running(consumer):
        for round_ in range(3):
            sent += [await add(redis) for _ in range(3)]
            await until(lambda: consumer.stats.handled == len(sent))  # noqa: B023 - awaited here
            await redis.flushall()
            if round_ == 1:  # before it has noticed
                sent.append(await add(redis))
        sent.append(await add(redis))
        await until(lambda: consumer.stats.handled == len(sent))
    assert await effects_of(effects) == sent


async def test_a_wipe_in_the_midst_of_a_batch_repeats_nothing(redis: Redis, effects: Any) -> None:
    """What was read before the wipe is handled to its end, once."""
    sent = [await add(redis) for _ in range(5)]
    wiped = asyncio.Event()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        if not wiped.is_set():
            await redis.flushall()
            wiped.set()
        await write_effect(event, session)

    consumer = new_consumer(redis, effects, handler)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 5)
        sent.append(await add(redis))
        await until(lambda: consumer.stats.handled == 6)
    assert await effects_of(effects) == sent


async def test_a_killed_redis_is_waited_for(
    settings: Settings,
    effects: Any,
    own_valkey: ValkeyServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A kill of Redis costs a wait: what it had on its disk is handled, once and in order."""
    caplog.set_level(logging.INFO)
    lone = Settings.load(database_url=settings.require_database_url(), redis_url=own_valkey.url)
    consumer_redis, redis = async_redis(lone), async_redis(lone)
    consumer = new_consumer(consumer_redis, effects)
    sent = []
    async with running(consumer):
        for _ in range(3):
            sent += [await add(redis) for _ in range(20)]
            await asyncio.to_thread(own_valkey.kill)
            await asyncio.sleep(0.3)
            await asyncio.to_thread(own_valkey.start)
        start = time.monotonic()
        await until(lambda: consumer.stats.handled == len(sent))
        assert time.monotonic() - start < 5
    assert await effects_of(effects) == sent
    assert (await redis.xpending(STREAM, GROUP))["pending"] == 0
    assert any("works with Redis again" in record.getMessage() for record in caplog.records)
    await consumer_redis.aclose()
    await redis.aclose()


async def test_cut_connections_lose_and_repeat_nothing(redis: Redis, effects: Any) -> None:
    """Redis cuts the consumer's connection again and again, also in the midst of a read."""
    consumer = new_consumer(redis, effects)
    sent = []
    async with running(consumer):
        for _ in range(20):
            sent += [await add(redis) for _ in range(5)]
            await redis.client_kill_filter(_type="normal", skipme=True)
        await until(lambda: consumer.stats.handled == len(sent))
    assert await effects_of(effects) == sent
    assert await pending(redis) == 0


async def test_cut_database_connections_are_no_fault_of_an_event(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """However often the database cuts off, nothing is lost, doubled or given up."""
    consumer = new_consumer(redis, effects, most_deliveries=1)
    sent = []
    async with running(consumer):
        for _ in range(15):
            sent += [await add(redis) for _ in range(5)]
            await cut_connections(settings)
        await until(lambda: consumer.stats.handled + consumer.stats.duplicates >= len(sent))
    assert await effects_of(effects) == sent
    assert await letters(effects) == []
    assert await pending(redis) == 0


async def test_a_dead_database_is_waited_for(redis: Redis) -> None:
    """While PostgreSQL is dead no delivery is spent; when it is back, the consumer is soon too."""
    with PostgresServer() as server:
        settings = Settings.load(database_url=server.url, database_connect_timeout=1)
        await asyncio.to_thread(migrate.upgrade, settings)
        engine = async_engine(settings)
        sessions = async_sessions(engine)
        async with sessions.begin() as session:
            await session.execute(text("CREATE TABLE effects (key text, event_id uuid, n serial)"))
        consumer = new_consumer(redis, sessions, most_deliveries=2)
        async with running(consumer):
            sent = [await add(redis)]
            await until(lambda: consumer.stats.handled == 1)
            await asyncio.to_thread(server.kill)
            sent += [await add(redis) for _ in range(5)]
            await asyncio.sleep(2)
            assert consumer.stats.retries == consumer.stats.dead == 0
            await asyncio.to_thread(server.start)
            start = time.monotonic()
            await until(lambda: consumer.stats.handled == 6)
            assert time.monotonic() - start < 5
        assert await effects_of(sessions) == sent
        assert await letters(sessions) == []
        await engine.dispose()


async def test_restarts_while_the_database_is_away_spend_no_delivery(
    redis: Redis, effects: Any
) -> None:
    """An orchestrator that restarts a waiting consumer again and again kills no event by it."""
    event_id = await add(redis)
    await redis.xgroup_create(STREAM, GROUP, id=0)
    await redis.xreadgroup(GROUP, "1", {STREAM: ">"})  # it was in hand when it all began
    away = True

    class Inbox(SqlInbox):
        @asynccontextmanager
        async def transaction(self) -> AsyncIterator[AsyncSession]:
            if away:
                raise InboxUnavailableError("away")
            async with super().transaction() as session:
                yield session

    def consumer() -> Consumer[AsyncSession]:
        options = ConsumerOptions(block=0.05, most_deliveries=2)
        made = Consumer(redis, Inbox(effects), group=GROUP, options=options)
        made.on(PricesUpdated)(write_effect)
        return made

    for _ in range(5):
        async with running(consumer()):
            await asyncio.sleep(0.2)
    away = False
    last = consumer()
    async with running(last):
        await until(lambda: last.stats.handled == 1)
    assert await effects_of(effects) == [event_id]
    assert await letters(effects) == []
