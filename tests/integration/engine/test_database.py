from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy import select, text

from cartsnitch_common.config import Settings
from cartsnitch_common.db.database import Database
from cartsnitch_common.db.models import Store
from cartsnitch_common.errors import ReadOnlyError, SchemaVersionError, ServerUnavailableError
from tests.integration.engine.application import application
from tests.integration.engine.either import states, until


@pytest.fixture
async def db(own: Settings) -> AsyncIterator[Database]:
    async with Database(own) as made:
        yield made


async def test_one_object_has_one_pool_a_driver(db: Database) -> None:
    """Whoever asks, and from however many threads at once, gets the same engines."""
    found: list[Any] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        found.append((db.sync_engine, db.async_engine, db.sessions, db.sync_sessions))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert db.async_read_engine.pool is db.async_engine.pool
    assert db.sync_read_engine.pool is db.sync_engine.pool


def test_nothing_is_opened_before_it_is_used(own: Settings) -> None:
    """Neither the object nor its sessions connect; a wrong address shows at the check."""
    with Database(own) as db:
        assert db.sync_engine.pool.status().startswith("Pool size: 2  Connections in pool: 0")
        with db.sync_sessions():
            pass
        assert "Connections in pool: 0" in db.sync_engine.pool.status()


async def test_reading_sessions_write_nothing(db: Database) -> None:
    """To write is an error of its own, and the connection that both share is not spoilt."""
    store = Store(name="Meijer", slug="meijer")
    async with db.sessions.begin() as session:
        session.add(store)
        first = await session.scalar(text("SELECT pg_backend_pid()"))
    async with db.read_sessions() as session:
        assert list(await session.scalars(select(Store.name))) == ["Meijer"]
        await session.delete(await session.get_one(Store, store.id))
        with pytest.raises(ReadOnlyError) as caught:
            await session.flush()
    assert caught.value.sqlstate == "25006"
    async with db.sessions.begin() as session:
        assert await session.scalar(text("SELECT pg_backend_pid()")) == first
        await session.delete(await session.get_one(Store, store.id))
    with db.sync_read_sessions() as blocking, pytest.raises(ReadOnlyError):
        blocking.execute(text("INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')"))
    with db.sync_sessions.begin() as blocking:
        blocking.execute(text("INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')"))


async def test_dispose_closes_all_and_the_next_use_begins_anew(db: Database, database: str) -> None:
    """After it the server has no connection of ours, and the object still works."""
    for _ in range(2):
        async with db.sessions() as session, db.read_sessions() as other:
            await session.scalar(text("SELECT 1"))
            await other.scalar(text("SELECT 1"))
        with db.sync_sessions() as blocking:
            blocking.scalar(text("SELECT 1"))
        assert set(states(database)) == {"idle"}
        await db.dispose()
        await until(lambda: not states(database))


async def test_the_start_of_a_service_finds_what_is_missing(
    own: Settings, empty_database: str
) -> None:
    """A server out of reach, a replica out of reach and an empty database end the start."""
    away = "postgresql://ada:canary@127.0.0.1:1/carts"
    async with Database(own) as db:
        await db.check()
    async with Database(Settings.load(database_url=empty_database)) as db:
        with pytest.raises(SchemaVersionError):
            await db.check()
    async with Database(Settings.load(database_url=away)) as db:
        with pytest.raises(ServerUnavailableError, match="CARTSNITCH_DATABASE_URL: "):
            await db.check()
    url = own.require_database_url()
    async with Database(Settings.load(database_url=url, database_replica_url=away)) as db:
        with pytest.raises(ServerUnavailableError, match="CARTSNITCH_DATABASE_REPLICA_URL: "):
            await db.check()


@pytest.fixture
async def client(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    app = application(db)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://service") as made,
    ):
        yield made


async def test_a_fastapi_service_writes_and_reads(client: httpx.AsyncClient, database: str) -> None:
    """The handler commits; what fails or is not committed leaves nothing; all is given back."""
    assert (await client.post("/stores/meijer")).status_code == 200
    assert (await client.post("/stores/meijer")).status_code == 500
    assert (await client.post("/stores/kroger?commit=false")).status_code == 200
    assert (await client.get("/stores")).json() == ["Meijer"]
    assert (await client.post("/sync/stores/target")).status_code == 200
    assert (await client.post("/sync/stores/aldi")).status_code == 500
    assert (await client.get("/sync/stores")).json() == ["Meijer", "Target"]
    assert set(states(database)) == {"idle"}


async def test_a_request_that_is_cancelled_leaves_nothing(
    client: httpx.AsyncClient, db: Database, database: str
) -> None:
    """Its transaction is rolled back and its connection given back at once."""
    for _ in range(10):
        request = asyncio.create_task(client.post("/stores/meijer?wait=5"))
        await until(lambda: "idle in transaction" in states(database))
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
        assert "idle in transaction" not in states(database)
    assert db.async_engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert (await client.get("/stores")).json() == []


FORK = """
import os, sys
from sqlalchemy import text
from cartsnitch_common.config import Settings
from cartsnitch_common.db.database import Database

db = Database(Settings.load())
ask = text("SELECT pg_backend_pid()")
def backend():
    with db.sync_sessions() as session:
        return session.scalar(ask)

first = backend()
child = os.fork()
if not child:
    os._exit(0 if backend() != first and backend() != first else 1)
failed = os.waitpid(child, 0)[1]
assert not failed, "the child used its parent's connection"
assert backend() == first, "the child ended its parent's connection"
"""


def test_a_forked_process_leaves_its_parents_connections(own: Settings) -> None:
    """A server that forks after the first query, say with preloading, shares no connection."""
    environment = {"CARTSNITCH_DATABASE_URL": own.require_database_url()}
    subprocess.run([sys.executable, "-c", FORK], env=environment, check=True, timeout=60)
