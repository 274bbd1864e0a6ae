from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from redis.asyncio import Redis
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.models import DeadLetter
from cartsnitch_common.events import Consumer, ConsumerOptions, Event, encode, wrap
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.events.replay_log import SqlEventLog
from tests.event_payloads import prices

GROUP = "stickershock"
STREAM = binding_of(PricesUpdated).stream
FAST = {"block": 0.1, "first_wait": 0.01, "longest_wait": 0.05}


class Killed(BaseException):
    """The end of a process, as far as a test may go: nothing catches it."""


async def add(redis: Redis, key: str = "k", **context: Any) -> str:
    """Put an event on its stream as the relay does; returns the event id."""
    envelope = wrap(prices(), service="stickershock", key=key, **context)
    await redis.xadd(STREAM, {"e": encode(envelope)})
    return envelope.event_id


async def write_effect(event: Event[PricesUpdated], session: AsyncSession) -> None:
    statement = text("INSERT INTO effects (key, event_id) VALUES (:key, :id)")
    await session.execute(statement, {"key": event.key, "id": event.event_id})


def new_consumer(
    redis: Redis,
    sessions: Any,
    handler: Any = write_effect,
    fault_point: Any = None,
    **options: Any,
) -> Consumer[AsyncSession]:
    consumer = Consumer(
        redis,
        SqlInbox(sessions),
        group=GROUP,
        options=ConsumerOptions(**FAST, **options),
        fault_point=fault_point,
    )
    if handler is not None:
        consumer.on(PricesUpdated)(handler)
    return consumer


def with_log(
    redis: Redis, sessions: Any, handler: Any = write_effect, **options: Any
) -> Consumer[AsyncSession]:
    """A consumer that replays by itself."""
    inbox, log = SqlInbox(sessions), SqlEventLog(sessions)
    chosen = ConsumerOptions(**FAST, **options)
    consumer = Consumer(redis, inbox, group=GROUP, options=chosen, log=log)
    consumer.on(PricesUpdated)(handler)
    return consumer


async def relayed(settings: Settings, redis: Redis, sessions: Any, *keys: str) -> list[str]:
    """Events that were committed and relayed; returns their ids."""
    sent = []
    for key in keys:
        async with sessions.begin() as session:
            envelope = await enqueue(session, prices(), service="stickershock", key=key)
        sent.append(envelope.event_id)
    while await Relay(settings, redis=redis).run_once():
        pass
    return sent


@asynccontextmanager
async def running(consumer: Consumer[Any]) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run(stop))
        try:
            yield stop
        finally:
            stop.set()


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - a counter tells
            await asyncio.sleep(0.01)


async def effects_of(sessions: Any) -> list[str]:
    async with sessions() as session:
        return [str(found) for found in await session.scalars(text(EFFECTS))]


async def effects_by_key(sessions: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    async with sessions() as session:
        for key, event_id in await session.execute(
            text("SELECT key, event_id FROM effects ORDER BY n")
        ):
            found.setdefault(key, []).append(str(event_id))
    return found


async def until_effects(sessions: Any, count: int, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while len(await effects_of(sessions)) < count:  # noqa: ASYNC110 - a table tells
            await asyncio.sleep(0.02)


CUT = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE pid <> pg_backend_pid() AND datname = current_database()"""
EFFECTS = "SELECT event_id FROM effects ORDER BY n"


async def cut_connections(settings: Settings) -> None:
    """End every connection to the database but this one, which is new: one of a pool may be dying.

    Nothing waits for their ends: who gets a connection then may find it good, and lose it at once.
    """
    connection = await asyncpg.connect(settings.require_database_url())
    others = "pid <> pg_backend_pid() AND datname = current_database()"
    await connection.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"
    )
    await connection.close()


async def letters(sessions: Any) -> list[DeadLetter]:
    async with sessions() as session:
        return list(await session.scalars(select(DeadLetter).order_by(DeadLetter.failed_at)))


async def pending(redis: Redis) -> int:
    return (await redis.xpending(STREAM, GROUP))["pending"]
