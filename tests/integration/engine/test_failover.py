"""A real primary and a real standby: reading from it, its conflicts, and its promotion."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg
import pytest
from sqlalchemy import text

from cartsnitch_common.config import Settings
from cartsnitch_common.db.database import Database
from cartsnitch_common.embedded import PostgresServer
from cartsnitch_common.errors import (
    DatabaseError,
    DatabaseUnavailableError,
    ReadOnlyError,
    RetryLaterError,
    TransactionAbortedError,
)
from tests.integration.engine.either import run, until
from tests.integration.engine.standby import (
    Standby,
    both,
    caught_up,
    follow,
    primary_and_standby,
    promote,
)

pytestmark = pytest.mark.xdist_group("failover")

type Pair = tuple[PostgresServer, Standby]

IN_RECOVERY = "SELECT pg_is_in_recovery()"
WRITE = "INSERT INTO written (writer) VALUES ('{}')"
WITHIN = 5.0
"""Seconds after the promotion in which everybody must be at work again."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with primary_and_standby() as started:
        with psycopg.connect(started[0].url, autocommit=True) as connection:
            connection.execute("CREATE TABLE written (id bigserial, writer text)")
            connection.execute("CREATE TABLE read AS SELECT generate_series(1, 1000) AS number")
        caught_up(*started)
        yield started


def settings(pair: Pair) -> Settings:
    primary, standby = pair
    return Settings.load(
        database_url=both(primary, standby),
        database_replica_url=standby.url,
        database_connect_timeout=2,
        database_pool_size=3,
    )


async def test_reading_sessions_go_to_the_replica(pair: Pair) -> None:
    """Both drivers read there what was written to the primary, and cannot write there."""
    async with Database(settings(pair)) as db:
        await run(db.async_engine, WRITE.format("first"))
        caught_up(*pair)
        for engine in (db.async_read_engine, db.sync_read_engine):
            assert await run(engine, IN_RECOVERY) == [(True,)]
            assert await run(engine, "SELECT writer FROM written") == [("first",)]
            with pytest.raises(ReadOnlyError):
                await run(engine, WRITE.format("nobody"))
            with pytest.raises(ReadOnlyError):
                await run(engine, "SELECT * FROM written FOR UPDATE")
        for engine in (db.async_engine, db.sync_engine):
            assert await run(engine, IN_RECOVERY) == [(False,)]


COUNT = text("SELECT count(*) FROM read")
COUNT_SLOWLY = text("SELECT count(*), pg_sleep(3) FROM read")
IN_THE_WAY = 0.4
"""Seconds: longer than the standby waits for a query before it replays on."""


async def read_async(db: Database, *, idle: bool) -> None:
    """Read a table twice in a transaction, with a pause or slowly."""
    async with db.read_sessions() as session:
        await session.execute(COUNT)
        await asyncio.sleep(IN_THE_WAY if idle else 0)
        await session.execute(COUNT if idle else COUNT_SLOWLY)


def read_sync(db: Database, *, idle: bool) -> None:
    with db.sync_read_sessions() as session:
        session.execute(COUNT)
        time.sleep(IN_THE_WAY if idle else 0)
        session.execute(COUNT if idle else COUNT_SLOWLY)


def truncate(primary: PostgresServer) -> None:
    time.sleep(0.1)
    with psycopg.connect(primary.url, autocommit=True) as connection:
        connection.execute("TRUNCATE read")
        connection.execute("INSERT INTO read SELECT generate_series(1, 1000)")


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("idle", [True, False], ids=["idle", "active"])
async def test_a_reader_gives_way_to_the_replay(pair: Pair, kind: str, *, idle: bool) -> None:
    """A query that stands in the replay's way is to be tried again, and then works."""
    async with Database(settings(pair)) as db:
        if kind == "async":
            engine, reading = db.async_read_engine, read_async(db, idle=idle)
        else:
            engine, reading = db.sync_read_engine, asyncio.to_thread(read_sync, db, idle=idle)
        ended, _ = await asyncio.gather(
            reading, asyncio.to_thread(truncate, pair[0]), return_exceptions=True
        )
        assert isinstance(ended, TransactionAbortedError | DatabaseUnavailableError)
        if not idle:
            assert ended.sqlstate == "40001"
        caught_up(*pair)
        assert await run(engine, "SELECT count(*) FROM read") == [(1000,)]


@dataclass(kw_only=True)
class Client:
    """Writes again and again, and notes when it worked and how it failed."""

    name: str
    worked: list[float] = field(default_factory=list)
    failed: list[Exception] = field(default_factory=list)


async def write_async(db: Database, client: Client, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            await run(db.async_engine, WRITE.format(client.name))
        except DatabaseError as error:
            client.failed.append(error)
        else:
            client.worked.append(time.monotonic())
        await asyncio.sleep(0.02)


def write_sync(db: Database, client: Client, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            with db.sync_engine.begin() as connection:
                connection.exec_driver_sql(WRITE.format(client.name))
        except DatabaseError as error:
            client.failed.append(error)
        else:
            client.worked.append(time.monotonic())
        time.sleep(0.02)


def has_worked(client: Client, since: float) -> bool:
    return bool(client.worked) and client.worked[-1] > since


# A server that is killed while it lets a client in leaves the driver's half-made
# connection to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_failover_heals_within_seconds(pair: Pair) -> None:
    """Killed primary, promoted standby: pools of both drivers write again within 5 s.

    Clients see only errors that say to try again. The old primary comes back as a
    standby, and nobody writes to it. At the end no transaction is left open anywhere.
    """
    primary, standby = pair
    stop = threading.Event()
    clients = [Client(name=f"client-{i}") for i in range(6)]
    async with Database(settings(pair)) as db, asyncio.TaskGroup() as tasks:
        for client in clients[:3]:
            tasks.create_task(write_async(db, client, stop))
        for client in clients[3:]:
            tasks.create_task(asyncio.to_thread(write_sync, db, client, stop))
        try:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(primary.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(promote, standby)
            promoted = time.monotonic()
            await until(lambda: all(has_worked(client, promoted) for client in clients), WITHIN)
            follow(primary, standby)
            await asyncio.to_thread(primary.start)
            returned = time.monotonic()
            await asyncio.sleep(1)
        finally:
            stop.set()  # or the threads would never end
    for client in clients:
        assert client.failed, "the fault did not reach this client"
        assert all(isinstance(error, RetryLaterError) for error in client.failed)
        assert len([moment for moment in client.worked if moment > returned]) > 5
    busy = """SELECT count(*) FROM pg_stat_activity
               WHERE state LIKE 'idle in transaction%' AND backend_type = 'client backend'"""
    for server in pair:
        with psycopg.connect(server.url) as connection:
            assert connection.execute(busy).fetchone() == (0,)
    gc.collect()  # here, where what it finds is expected
