"""A mark that another transaction holds for longer than a statement may wait."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.events import Consumer, ConsumerOptions
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.inbox import SqlInbox, handle_once
from tests.integration.events.consuming import (
    FAST,
    GROUP,
    STREAM,
    add,
    effects_of,
    letters,
    pending,
    running,
    until,
    write_effect,
)

OPTIONS = ConsumerOptions(**FAST, most_deliveries=2)
TRIES = 3
"""More than there are deliveries: was one spent with each, the event is a dead letter."""


class Watched:
    """An inbox, and how often it was asked to mark something."""

    def __init__(self, inbox: Any) -> None:
        self._inbox = inbox
        self.tries = 0

    def __getattr__(self, name: str) -> Any:
        self.tries += name in {"first_time", "first_times", "bury"}
        return getattr(self._inbox, name)


async def write_raw(event: Any, connection: Any) -> None:
    statement = "INSERT INTO effects (key, event_id) VALUES ($1, $2)"
    await connection.execute(statement, event.key, event.event_id)


async def write_all(events: Any, session: Any) -> None:
    for event in events:
        await write_effect(event, session)


@pytest.fixture
async def impatient(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """An engine whose statements wait for a moment only."""
    limits = {"database_statement_timeout": 0.1, "database_connect_timeout": 0.3}
    engine = async_engine(settings.model_copy(update=limits))
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("way", ["SQLAlchemy", "asyncpg", "in batches"])
async def test_a_held_mark_costs_its_event_no_delivery(
    redis: Redis, effects: Any, impatient: AsyncEngine, way: str
) -> None:
    """However long a suspended delivery holds the mark, the event is no dead letter.

    It has the effect that it is owed when the other one rolls back, and none beside that
    of the other one when it commits.
    """
    asyncpg_inbox = AsyncpgInbox(impatient)
    inbox = Watched(asyncpg_inbox if way == "asyncpg" else SqlInbox(async_sessions(impatient)))
    consumer = Consumer[Any](redis, inbox, group=GROUP, options=OPTIONS)
    if way == "in batches":
        consumer.on_batch(PricesUpdated)(write_all)
    else:
        consumer.on(PricesUpdated)(write_raw if way == "asyncpg" else write_effect)
    sent = [await add(redis) for _ in range(3)]
    async with effects() as undone, effects() as done:
        await handle_once(undone, GROUP, uuid.UUID(sent[0]))
        await handle_once(done, GROUP, uuid.UUID(sent[1]))
        async with running(consumer):
            await until(lambda: inbox.tries >= TRIES)
            await undone.rollback()
            await until(lambda: inbox.tries >= 2 * TRIES)
            assert consumer.stats.retries == consumer.stats.dead == consumer.stats.duplicates == 0
            await done.commit()
            await until(lambda: consumer.stats.handled + consumer.stats.duplicates == len(sent))
    assert await effects_of(effects) == [sent[0], sent[2]]
    assert await letters(effects) == []
    assert await pending(redis) == 0
    await asyncpg_inbox.aclose()


async def test_a_held_mark_delays_a_dead_letter(
    redis: Redis, effects: Any, impatient: AsyncEngine
) -> None:
    """An event that ended five processes is buried when nobody holds its mark any more."""
    inbox = Watched(SqlInbox(async_sessions(impatient)))
    consumer = Consumer[Any](redis, inbox, group=GROUP, options=OPTIONS)
    consumer.on(PricesUpdated)(write_effect)
    event_id = await add(redis)
    await redis.xgroup_create(STREAM, GROUP, id=0)
    ((_, ((entry_id, _),)),) = (await redis.xreadgroup(GROUP, OPTIONS.name, {STREAM: ">"})).items()
    await redis.xclaim(STREAM, GROUP, OPTIONS.name, 0, [entry_id], retrycount=5)
    async with effects() as holder:
        await handle_once(holder, GROUP, uuid.UUID(event_id))
        async with running(consumer):
            await until(lambda: inbox.tries >= TRIES)
            assert consumer.stats.dead == 0
            await holder.rollback()
            await until(lambda: consumer.stats.dead == 1)
    assert len(await letters(effects)) == 1
    assert await effects_of(effects) == []
    assert await pending(redis) == 0
