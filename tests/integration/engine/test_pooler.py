"""PgBouncer in transaction mode lends each transaction another connection.

Two connections stand for all clients here, so that whatever a transaction leaves
behind meets another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy import Engine, select, text

from cartsnitch_common.config import Settings
from cartsnitch_common.convert import copy_messages, fetch_messages, stream_messages, to_message
from cartsnitch_common.db import migrate
from cartsnitch_common.db.driver_errors import database_errors
from cartsnitch_common.db.engine import async_engine, async_sessions, check_database, sync_engine
from cartsnitch_common.db.models import NormalizedProduct
from cartsnitch_common.embedded import EmbeddedServers
from cartsnitch_common.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    ReadOnlyError,
    TimeLimitError,
)
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.values.ids import new_uuid
from tests.event_payloads import prices
from tests.integration.engine.either import AnyEngine, run
from tests.integration.engine.pooler import PgBouncer

DAY = dt.datetime(2026, 3, 10, tzinfo=dt.UTC)
NO_STATEMENTS = "?prepared_statement_cache_size=0"
STATE = """SELECT CAST(:i AS int), current_setting('application_name'), current_setting('TimeZone'),
                  current_setting('statement_timeout'), pg_backend_pid()"""


@pytest.fixture(scope="module")
def pooler(servers: EmbeddedServers) -> Iterator[PgBouncer]:
    with PgBouncer(servers.database_url, pool_size=2) as started:
        yield started


@pytest.fixture
def pooled(database: str, pooler: PgBouncer) -> str:
    """The URL of the test's database through the pooler."""
    return re.sub(r":\d+/", f":{pooler.port}/", database)


@pytest.fixture
def own(pooled: str) -> Settings:
    return Settings.load(
        database_url=pooled + NO_STATEMENTS, service="api", database_statement_timeout=2
    )


async def at_once(engine: AnyEngine, statements: list[str]) -> list[list[Any]]:
    """Run statements at the same time, each in its transaction and with its number."""
    tasks = [run(engine, statement, i=i) for i, statement in enumerate(statements)]
    if isinstance(engine, Engine):
        return await asyncio.gather(*(asyncio.to_thread(asyncio.run, task) for task in tasks))
    return await asyncio.gather(*tasks)


def left_behind(database: str) -> list[tuple[str, str]]:
    """What the connections of the test's database still do."""
    ask = """SELECT state, query FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid()
                AND state <> 'idle'"""
    with psycopg.connect(database) as connection:
        return connection.execute(ask).fetchall()


async def test_transactions_share_connections(engine: AnyEngine, database: str) -> None:
    """Twenty clients on two connections: each has its name, zone, limit and its own answer."""
    first, *_ = await run(engine, STATE, i=0)
    assert first[1:4] == ("cartsnitch-api", "UTC", "2s")
    answers = await at_once(engine, [STATE] * 20)
    assert [row[0][0] for row in answers] == list(range(20))
    assert {row[0][1:4] for row in answers} == {("cartsnitch-api", "UTC", "2s")}
    assert len({row[0][4] for row in answers}) <= 2
    assert left_behind(database) == []


async def test_no_prepared_statement_stays_behind(engine: AnyEngine) -> None:
    """A statement that a client leaves on the pooler's connection would clash, or grow for ever."""
    for first in range(0, 30, 10):
        await at_once(engine, [f"SELECT CAST(:i AS int) + {first + i}" for i in range(10)])
    ask = """SELECT CAST(:i AS int), pg_sleep(0.05),
                    (SELECT count(*) FROM pg_prepared_statements WHERE name <> '')"""
    assert {rows[0][2] for rows in await at_once(engine, [ask] * 4)} == {0}


async def test_the_limit_of_time_belongs_to_the_transaction(engine: AnyEngine, pooled: str) -> None:
    """It ends a statement through the pooler too, and the next client does not inherit it."""
    with pytest.raises(TimeLimitError):
        await run(engine, "SET LOCAL statement_timeout = 50", "SELECT pg_sleep(5)")
    for _ in range(4):
        async with await psycopg.AsyncConnection.connect(pooled, prepare_threshold=None) as other:
            assert await (await other.execute("SHOW statement_timeout")).fetchone() == ("0",)


async def test_a_session_that_only_reads_leaves_others_writing(engine: AnyEngine) -> None:
    """READ ONLY belongs to the transaction, not to the pooler's connection."""
    reading = engine.execution_options(postgresql_readonly=True)
    insert = "INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')"
    for _ in range(3):
        with pytest.raises(ReadOnlyError):
            await run(reading, insert)
        assert await run(reading, "SHOW transaction_read_only") == [("on",)]
        assert await run(engine, "SHOW transaction_read_only") == [("off",)]
    await run(engine, insert)


async def test_an_outbox_in_order_through_the_pooler(own: Settings) -> None:
    """The key's lock belongs to the transaction: ids of one key ascend as commits do."""
    engine = async_engine(own)
    sessions = async_sessions(engine)
    holders = []

    async def write() -> None:
        async with sessions.begin() as session:
            event = await enqueue(session, prices(), service="receiptwitness", key="k")
            holders.append((event.event_id,))
            await session.execute(text("SELECT pg_sleep(0.005)"))

    await asyncio.gather(*(write() for _ in range(12)))
    ids = "SELECT CAST(event_id AS text) FROM event_outbox ORDER BY id"
    assert await run(engine, ids) == holders
    assert len(holders) == 12
    locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    assert await run(engine, locks) == [(0,)]
    await engine.dispose()


async def test_the_driver_itself_through_the_pooler(own: Settings) -> None:
    """What reads and copies with asyncpg on an engine's connection works the same."""
    engine = async_engine(own)
    async with engine.begin() as connection:
        raw = await connection.get_raw_connection()
        driver = raw.driver_connection
        assert isinstance(driver, asyncpg.Connection)
        with database_errors():
            rows = [(str(i), f"{i}@example.com") for i in range(100)]
            await driver.copy_records_to_table("users", records=rows, columns=["id", "email"])
            found = await driver.fetch("SELECT id, email FROM users WHERE id = any($1)", ["7", "8"])
    assert [record["id"] for record in found] == ["7", "8"]
    with pytest.raises(DatabaseError):
        await run(engine, "INSERT INTO users (id, email) VALUES ('7', 'seven@example.com')")
    assert await run(engine, "SELECT count(*) FROM users") == [(100,)]
    await engine.dispose()


async def test_a_cancelled_transaction_is_ended_at_the_server(own: Settings, database: str) -> None:
    """The pooler's connection is free again: nothing waits for a client that has gone."""
    engine = async_engine(own)
    for _ in range(10):
        task = asyncio.create_task(run(engine, "SELECT 1", "SELECT pg_sleep(1)"))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.wait_for(run(engine, "SELECT 1"), 3) == [(1,)]
    await engine.dispose()
    assert not [state for state, _ in left_behind(database) if "transaction" in state]


async def test_migrations_through_the_pooler(empty_database: str, pooler: PgBouncer) -> None:
    """They keep nothing in a session: from nothing to the head, and the check agrees."""
    url = re.sub(r":\d+/", f":{pooler.port}/", empty_database) + NO_STATEMENTS
    settings = Settings.load(database_url=url)
    done = await asyncio.to_thread(migrate.upgrade, settings)
    assert done.applied
    assert migrate.check(settings).pending == ()
    assert int((await check_database(settings)).partition(".")[0]) >= 15
    with psycopg.connect(empty_database) as connection:
        held = connection.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert held.fetchone() == (0,)


def test_sync_code_begins_again_where_it_was_cut_off(own: Settings, database: str) -> None:
    """The server's end of the pooler's connections is cut: one error at most, then work."""
    engine = sync_engine(own)
    with engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with psycopg.connect(database, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    # What was in use just now is not pinged, and the pooler may not have read of the cut yet.
    with contextlib.suppress(DatabaseUnavailableError), engine.begin() as connection:
        connection.execute(text("SELECT 1"))
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
    engine.dispose()


async def test_messages_go_through_the_pooler(own: Settings) -> None:
    """COPY, a fetch and a cursor on the server: each in its transaction, nothing stays behind."""
    made = [
        to_message(
            NormalizedProduct(
                id=new_uuid(),
                canonical_name=f"P {number}",
                created_at=DAY,
                updated_at=DAY,
                upc_variants=[],
            )
        )
        for number in range(3000)
    ]
    engine = async_engine(own)
    sessions = async_sessions(engine)
    statement = select(NormalizedProduct).order_by(NormalizedProduct.id)
    for first in range(0, 3000, 1000):
        async with sessions.begin() as session:
            await copy_messages(session, made[first : first + 1000])

    async def read() -> None:
        async with sessions() as session:
            for _ in range(2):  # by SQLAlchemy, which begins the transaction, then by the driver
                assert await fetch_messages(session, statement) == made
            streamed = stream_messages(session, statement, batch_size=500)
            assert [one async for one in streamed] == made

    await asyncio.gather(*(read() for _ in range(4)))
    await engine.dispose()
