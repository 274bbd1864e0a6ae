"""The bus over a primary and a standby, when the primary dies and comes back demoted."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.embedded import PostgresServer
from cartsnitch_common.errors import RetryLaterError
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from tests.event_payloads import prices
from tests.integration.engine.standby import (
    Standby,
    both,
    caught_up,
    follow,
    primary_and_standby,
    promote,
)
from tests.integration.events import consuming, relaying
from tests.integration.events.consuming import effects_by_key, until

pytestmark = [pytest.mark.xdist_group("failover"), pytest.mark.servers]

KEYS = ("a", "b", "c")


@pytest.fixture
def pair() -> Iterator[tuple[PostgresServer, Standby]]:
    """A commit is not told before the standby has it: what was told outlives the primary."""
    with primary_and_standby() as (primary, standby):
        migrate.upgrade(Settings.load(database_url=primary.url))
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE effects (key text, event_id uuid, n serial)")
            caught_up(primary, standby)
            connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            connection.execute("SELECT pg_reload_conf()")
        yield primary, standby


class Producer:
    """Writes an event after the other, of each key in turn."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions
        self.told: list[str] = []
        """Events whose commit was told."""
        self.doubtful: list[str] = []
        """Events whose transaction failed, perhaps after it was committed."""
        self.failures = 0
        """Transactions that failed."""

    async def run(self, stop: asyncio.Event) -> None:
        """Write until told to stop."""
        for key in itertools.cycle(KEYS):
            if stop.is_set():
                return
            event_id = ""
            try:
                async with self._sessions.begin() as session:
                    sent = await enqueue(session, prices(), service="receiptwitness", key=key)
                    event_id = sent.event_id
            except RetryLaterError:
                self.failures += 1
                self.doubtful += filter(None, [event_id])
            else:
                self.told.append(event_id)
            await asyncio.sleep(0.005)


# A server that is killed while it lets a client in leaves the driver's half-made
# connection to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_bus_outlives_a_failover(
    pair: tuple[PostgresServer, Standby], redis: Redis, settings: Settings
) -> None:
    """Every event whose commit was told takes effect once and in order, on the new primary.

    Nobody restarts or reconfigures a producer, the relay or the consumer, and the old
    primary, back as a standby, gets nothing to do.
    """
    primary, standby = pair
    ours = Settings.load(
        database_url=both(primary, standby),
        redis_url=settings.require_redis_url(),
        database_connect_timeout=2,
        database_statement_timeout=5,
    )
    engine = async_engine(ours)
    sessions = async_sessions(engine)
    producer, stop = Producer(sessions), asyncio.Event()
    consumer, relay = consuming.new_consumer(redis, sessions), Relay(ours)
    async with consuming.running(consumer), relaying.running(relay), asyncio.TaskGroup() as tasks:
        tasks.create_task(producer.run(stop))
        try:
            await until(lambda: consumer.stats.handled > 20)
            await asyncio.to_thread(primary.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(promote, standby)
            before = consumer.stats.handled
            await until(lambda: consumer.stats.handled > before + 20)
            follow(primary, standby)
            await asyncio.to_thread(primary.start)
            before = consumer.stats.handled
            await until(lambda: consumer.stats.handled > before + 20)
        finally:
            stop.set()
        with suppress(TimeoutError):  # the comparison below says what is missing
            await until_all(standby.url, len(producer.told))
    found = await effects_by_key(sessions)
    await engine.dispose()
    handled = list(itertools.chain.from_iterable(found.values()))
    assert producer.failures, "the fault did not reach the producer"
    assert len(handled) == len(set(handled))
    assert set(producer.told) <= set(handled) <= {*producer.told, *producer.doubtful}
    for ids in found.values():
        told = [event_id for event_id in producer.told if event_id in ids]
        assert [event_id for event_id in ids if event_id in set(producer.told)] == told
    assert consumer.stats.dead == 0


async def until_all(url: str, least: int) -> None:
    """Wait until the new primary's outbox is empty and it has so many effects."""
    engine = async_engine(Settings.load(database_url=url), isolation_level="AUTOCOMMIT")
    ask = text("SELECT (SELECT count(*) FROM event_outbox), (SELECT count(*) FROM effects)")
    try:
        async with asyncio.timeout(20), engine.connect() as connection:
            while True:
                waiting, effects = (await connection.execute(ask)).one()
                if waiting == 0 and effects >= least:
                    return
                await asyncio.sleep(0.05)
    finally:
        await engine.dispose()
