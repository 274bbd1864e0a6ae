from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.embedded import ValkeyServer
from cartsnitch_common.events import async_redis
from cartsnitch_common.events import relay as relay_module
from cartsnitch_common.events.relay import Relay, RelayOptions
from tests.integration.events.relaying import (
    count,
    on_the_wire,
    running,
    until_empty,
    write,
)
from tests.lossy import Lossy


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


async def test_a_slow_redis_costs_no_partitions(
    settings: Settings, sessions: Any, own_valkey: ValkeyServer
) -> None:
    """A batch that Redis takes longer for than a relay may hang is published once."""
    lone = Settings.load(database_url=settings.require_database_url(), redis_url=own_valkey.url)
    client = async_redis(lone)
    sent = await write(sessions, *"ab")
    await client.execute_command("CLIENT", "PAUSE", 1500, "WRITE")
    options = RelayOptions(stuck_after=0.5)
    async with running(*(Relay(lone, options=options) for _ in range(2))):
        await until_empty(sessions)
    assert [envelope.event_id for envelope in await on_the_wire(client)] == sent
    await client.aclose()


@pytest.mark.parametrize("word", [b"pg_try_advisory", b"UNION ALL", b"DELETE FROM"])
async def test_a_database_that_never_answers_is_given_up(
    word: bytes,
    settings: Settings,
    sessions: Any,
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the way to it is cut without a word, the relay goes on with a new connection."""
    monkeypatch.setattr(relay_module, "_DATABASE_PATIENCE", 0.5)
    url = make_url(settings.require_database_url())
    way = Lossy()
    way.target = url.port or 0
    through = url.set(host="127.0.0.1", port=way.port).render_as_string(hide_password=False)
    far = Settings.load(database_url=through, redis_url=settings.require_redis_url())
    try:
        sent = await write(sessions, "k")
        way.lose_answer(word, "silence")
        async with running(Relay(far)):
            await until_empty(sessions)
            assert way.seen(word) >= 2
            sent += await write(sessions, "k")
            await until_empty(sessions)
    finally:
        way.close()
    out = [envelope.event_id for envelope in await on_the_wire(redis)]
    assert list(dict.fromkeys(out)) == sent
