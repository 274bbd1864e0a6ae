from __future__ import annotations

import asyncio
import time
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.events import Consumer, ConsumerOptions, Event
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from tests.chaos.proxy import Proxy
from tests.integration.events.chaining import write
from tests.integration.events.consuming import (
    FAST,
    GROUP,
    add,
    cut_connections,
    effects_by_key,
    effects_of,
    letters,
    pending,
    running,
    until,
)

_SLEEPS = """SELECT count(*) FROM pg_stat_activity
             WHERE wait_event = 'PgSleep' AND datname = current_database()"""


def new_consumer(redis: Redis, inbox: AsyncpgInbox, **options: Any) -> Consumer[Any]:
    return Consumer(redis, inbox, group=GROUP, options=ConsumerOptions(**FAST, **options))


async def test_events_have_one_effect_each_in_order(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """Effect and mark are one transaction, keys are handled at once, duplicates are dropped."""
    sent: dict[str, list[str]] = {}
    for number in range(60):
        key = f"k{number % 4}"
        sent.setdefault(key, []).append(await add(redis, key))
        await add(redis, key, event_id=sent[key][0])
    consumer = new_consumer(redis, inbox, concurrency=3)
    consumer.on(PricesUpdated)(write)
    async with running(consumer):
        await until(lambda: consumer.stats.handled + consumer.stats.duplicates == 120)
    assert await effects_by_key(effects) == sent
    assert await pending(redis) == 0


async def test_a_batch_takes_effect_together(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """A handler of batches gets a connection too; what it has done before is left out."""
    consumer = new_consumer(redis, inbox)

    @consumer.on_batch(PricesUpdated)
    async def handle(events: Any, connection: asyncpg.Connection[Any]) -> None:
        for event in events:
            await write(event, connection)

    sent = [await add(redis) for _ in range(10)]
    await add(redis, event_id=sent[3])
    async with running(consumer):
        await until(lambda: consumer.stats.duplicates == 1)
    assert await effects_of(effects) == sent


async def test_a_handlers_statements_have_the_limit_of_time(
    redis: Redis, inbox: AsyncpgInbox, settings: Settings
) -> None:
    """A handler cannot hang longer in a statement than with a session."""
    consumer = new_consumer(redis, inbox)
    found: list[str] = []

    @consumer.on(PricesUpdated)
    async def handle(event: Event[PricesUpdated], connection: asyncpg.Connection[Any]) -> None:
        found.append(await connection.fetchval("SHOW statement_timeout"))
        await write(event, connection)

    await add(redis)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 1)
    assert found == [f"{settings.database_statement_timeout:g}s"]


@pytest.mark.parametrize("swallowed", [False, True])
async def test_what_fails_is_rolled_back(
    redis: Redis, effects: Any, inbox: AsyncpgInbox, *, swallowed: bool
) -> None:
    """A handler that raises, or hides that its transaction is broken, leaves nothing behind."""
    consumer = new_consumer(redis, inbox)

    @consumer.on(PricesUpdated)
    async def handle(event: Event[PricesUpdated], connection: asyncpg.Connection[Any]) -> None:
        await write(event, connection)
        if event.key == "bad":
            try:
                await connection.execute("SELECT 1 / 0")
            except asyncpg.DivisionByZeroError:
                if not swallowed:
                    raise

    await add(redis, "bad")
    good = await add(redis, "good")
    async with running(consumer):
        await until(lambda: consumer.stats.handled == consumer.stats.dead == 1)
    assert await effects_of(effects) == [good]
    (letter,) = await letters(effects)
    name = "TransactionAbortedError" if swallowed else "DivisionByZeroError"
    assert letter.reason.startswith(name)
    assert letter.deliveries == 5


async def test_connections_that_are_cut_are_no_fault_of_an_event(
    redis: Redis, effects: Any, inbox: AsyncpgInbox, settings: Settings
) -> None:
    """The database ends connections again and again; nothing is lost, doubled or given up."""
    consumer = new_consumer(redis, inbox, most_deliveries=1, concurrency=2)
    consumer.on(PricesUpdated)(write)
    sent = []
    async with running(consumer):
        for _ in range(10):
            sent += [await add(redis) for _ in range(5)]
            await cut_connections(settings)
        await until(lambda: consumer.stats.handled + consumer.stats.duplicates >= len(sent))
    assert await effects_of(effects) == sent
    assert await letters(effects) == []


async def test_connections_that_fall_silent_are_found_out_together(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """After a network that forgets four connections, events go on within the limit of one."""
    del effects  # the table
    address = urlsplit(settings.require_database_url())
    async with Proxy(address.port or 0) as proxy:
        way = address._replace(netloc=address.netloc.replace(f":{address.port}", f":{proxy.port}"))
        engine = async_engine(
            Settings.load(
                database_url=way.geturl(), database_statement_timeout=1, database_connect_timeout=1
            )
        )
        inbox = AsyncpgInbox(engine)
        consumer = new_consumer(redis, inbox, concurrency=4)
        together = asyncio.Barrier(4)

        @consumer.on(PricesUpdated)
        async def handle(event: Event[PricesUpdated], connection: asyncpg.Connection[Any]) -> None:
            await write(event, connection)
            if event.key != "after":
                await together.wait()

        for number in range(4):
            await add(redis, f"k{number}")
        async with running(consumer):
            await until(lambda: consumer.stats.handled == 4)
            assert proxy.fall_silent() == 4
            start = time.monotonic()
            for handled in range(5, 10):
                await add(redis, "after")
                await until(lambda handled=handled: consumer.stats.handled == handled)
            took = time.monotonic() - start
        await inbox.aclose()
        await engine.dispose()
    assert took < 4.5  # two of the client's limit, one of the rollback's, and the new connection


async def test_a_cancelled_handler_leaves_no_transaction(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """A consumer that is cancelled in a statement rolls back, and its successor goes on."""
    event_id = await add(redis)
    started = asyncio.Event()
    consumer = new_consumer(redis, inbox)

    @consumer.on(PricesUpdated)
    async def handle(event: Event[PricesUpdated], connection: asyncpg.Connection[Any]) -> None:
        await write(event, connection)
        started.set()
        await connection.execute("SELECT pg_sleep(30)")

    task = asyncio.create_task(consumer.run(asyncio.Event()))
    await started.wait()
    # A request to cancel that overtakes its statement is lost, and the statement goes on.
    async with effects() as session, asyncio.timeout(20):
        while not await session.scalar(text(_SLEEPS)):
            await session.rollback()  # what it has seen of the others stays until then
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    async with effects() as session:
        state = "state LIKE 'idle in transaction%' AND datname = current_database()"
        count = f"SELECT count(*) FROM pg_stat_activity WHERE {state}"
        assert await session.scalar(text(count)) == 0
    successor = new_consumer(redis, inbox)
    successor.on(PricesUpdated)(write)
    async with running(successor):
        await until(lambda: successor.stats.handled == 1)
    assert await effects_of(effects) == [event_id]
