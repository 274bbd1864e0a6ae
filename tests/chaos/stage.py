"""The servers, which the chaos suite may kill, and what one fault has of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from signal import SIGKILL
from typing import Any, Self
from urllib.parse import urlsplit

import psycopg
from redis.exceptions import RedisError
from sqlalchemy import text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.embedded import EmbeddedServers, start_servers
from cartsnitch_common.errors import DatabaseError
from cartsnitch_common.events import async_redis
from cartsnitch_common.events.names import ENTRY_FIELD
from cartsnitch_common.values.ids import new_uuid
from tests.chaos.children import Child, Nursery
from tests.chaos.proxy import Proxy
from tests.chaos.services import GROUP

STREAM = binding_of(PricesUpdated).stream

TABLES = """
CREATE TABLE ledger (n bigserial, key text, event_id uuid, dead boolean);
CREATE TABLE effects (n bigserial, key text, event_id uuid, by text);
CREATE INDEX ON effects (event_id)
"""

PATIENCE = {
    "redis_connect_timeout": 1.0,
    "redis_socket_timeout": 1.0,
    "redis_block_time": 0.2,
    "database_connect_timeout": 1.0,
    "database_statement_timeout": 2.0,
}
"""Settings under which a silent server is noticed within the length of a test."""

_SERVER_ERRORS = (DatabaseError, RedisError, OSError, psycopg.OperationalError)


class World:
    """A PostgreSQL and a Valkey of the suite's own, and what forks its processes.

    Attributes:
        servers: The servers.
        nursery: Forks processes.
    """

    servers: EmbeddedServers
    nursery: Nursery

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.servers = await asyncio.to_thread(start_servers)
            stack.push_async_callback(asyncio.to_thread, self.servers.close)
            self.nursery = await stack.enter_async_context(Nursery())
            await asyncio.to_thread(self._migrate)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._stack.aclose()

    @asynccontextmanager
    async def stage(self, *, proxied: bool = False) -> AsyncIterator[Stage]:
        """A database of its own and an empty Redis, behind proxies if asked for."""
        name = f"chaos_{new_uuid().hex}"
        await asyncio.to_thread(self._execute, f"CREATE DATABASE {name} TEMPLATE chaos")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(
                asyncio.to_thread, self._execute, f"DROP DATABASE {name} (FORCE)"
            )
            stage = Stage(self, self._database(name))
            if proxied:
                ports = self.servers.postgres.port, self.servers.valkey.port
                for port in ports:
                    stage.proxies.append(await stack.enter_async_context(Proxy(port)))
            yield await stack.enter_async_context(stage)

    def _migrate(self) -> None:
        self._execute("CREATE DATABASE chaos")
        url = self._database("chaos")
        migrate.upgrade(Settings.load(database_url=url))
        with psycopg.connect(url) as connection:
            connection.execute(TABLES)

    def _database(self, name: str) -> str:
        return urlsplit(self.servers.database_url)._replace(path=f"/{name}").geturl()

    def _execute(self, statement: Any) -> None:
        with psycopg.connect(self.servers.database_url, autocommit=True) as connection:
            connection.execute(statement)


class Stage:
    """One fault's database and Redis, and the processes that play on them.

    Attributes:
        world: The servers.
        proxies: The ways to PostgreSQL and to Redis that the processes take, if any.
        children: Every process that was started.
        redis: The test's own way to Redis.
    """

    def __init__(self, world: World, database_url: str) -> None:
        """Describe it; open it as a context manager."""
        self.world = world
        self.proxies: list[Proxy] = []
        self.children: list[Child] = []
        self.database_url = database_url
        self._redis_url = world.servers.redis_url

    async def __aenter__(self) -> Self:
        settings = Settings.load(
            database_url=self.database_url, redis_url=self._redis_url, redis_socket_timeout=60
        )
        self.engine = async_engine(settings)
        self.redis: Any = async_redis(settings)
        await self.redis.flushall()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        for child in self.children:
            if not child.ended.is_set():
                await child.kill()
        await self.redis.aclose()
        await self.engine.dispose()

    async def spawn(self, role: str, **orders: Any) -> Child:
        """Start a process."""
        urls = {"database_url": self.database_url, "redis_url": self._redis_url}
        for (name, url), proxy in zip(urls.items(), self.proxies, strict=False):
            parts = urlsplit(url)
            login = parts.netloc.rpartition(":")[0]
            urls[name] = parts._replace(netloc=f"{login}:{proxy.port}").geturl()
        settings = {**PATIENCE, **urls}
        child = await self.world.nursery.spawn(role, settings=settings, **orders)
        self.children.append(child)
        return child

    async def retried[T](self, ask: Callable[[], Awaitable[T]], *, within: float = 30) -> T:
        """An answer of a server that may be down."""
        deadline = time.monotonic() + within
        while True:
            try:
                return await ask()
            except _SERVER_ERRORS:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.02)

    async def rows(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of the database."""

        async def ask() -> list[Any]:
            async with self.engine.begin() as connection:
                return [*(await connection.execute(text(statement), parameters)).all()]

        return await self.retried(ask)

    async def scalar(self, statement: str, **parameters: Any) -> Any:
        """One value of the database."""
        return (await self.rows(statement, **parameters))[0][0]

    async def has_rows(self, table: str, count: int) -> bool:
        """Whether a table has so many rows."""
        return bool(await self.scalar(f"SELECT count(*) >= :count FROM {table}", count=count))

    async def group(self) -> dict[str, Any]:
        """How many entries are pending and not delivered; both unknown without a group."""

        async def ask() -> dict[str, Any]:
            if not await self.redis.exists(STREAM):
                return {}
            groups = await self.redis.xinfo_groups(STREAM)
            return next((one for one in groups if one["name"] in {GROUP, GROUP.encode()}), {})

        return await self.retried(ask)

    async def wire(self) -> list[tuple[str, bytes]]:
        """All that is on the stream: the ids of the entries and what they hold."""
        found: list[tuple[str, bytes]] = []
        after = "-"
        while page := await self.redis.xrange(STREAM, after, count=2_000):
            found += [(entry.decode(), fields.get(ENTRY_FIELD, b"")) for entry, fields in page]
            after = f"({found[-1][0]}"
        return found

    async def pending_of(self, name: str) -> set[str]:
        """The entries that are with one consumer of the group."""
        found = await self.redis.xpending_range(STREAM, GROUP, "-", "+", 1_000, name)
        return {row["message_id"].decode() for row in found}

    async def state(self) -> list[str]:
        """What there is and what the processes said, for whoever has to find out what is wrong."""
        counts = {
            table: await self.scalar(f"SELECT count(*) FROM {table}")
            for table in ("ledger", "event_outbox", "effects", "event_dead_letters")
        }
        for child in self.children:
            if not child.ended.is_set():
                child.order("stacks")
        await asyncio.sleep(0.5)
        return [str(counts), str(await self.group())] + [
            f"{child.name} {child.code} {dict(child.reports)} {[*child.log][-12:]}"
            for child in self.children
        ]

    # -- waiting ------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], Awaitable[bool]], *, within: float = 60, step: float = 0.02
    ) -> float:
        """Wait for something; how many seconds it took, or ``TimeoutError``.

        Fails at once when a process has ended by an error.
        """
        start = time.monotonic()
        async with asyncio.timeout(within):
            while not await condition():
                for child in self.children:
                    assert child.code in {None, 0, -SIGKILL}, f"{child.name}: {child.code}"
                await asyncio.sleep(step)
        return time.monotonic() - start

    async def relayed(self, *, within: float = 120) -> float:
        """Wait until all that waits in the outbox now is relayed; how long it took."""
        last = await self.scalar("SELECT coalesce(max(id), 0) FROM event_outbox")

        async def gone() -> bool:
            return not await self.scalar(
                "SELECT count(*) FROM event_outbox WHERE id <= :last", last=last
            )

        return await self.until(gone, within=within, step=0.005)

    async def owed(self) -> list[Any]:
        """The events that are committed and have no effect."""
        rows = await self.rows(
            "SELECT event_id FROM ledger AS l WHERE NOT dead AND NOT EXISTS"
            " (SELECT FROM effects AS e WHERE e.event_id = l.event_id)"
        )
        return [row[0] for row in rows]

    async def caught_up(self, *, within: float = 120) -> float:
        """Wait until all that is committed now has its effect; how long it took."""
        owed = await self.owed()

        async def there() -> bool:
            done = "SELECT count(DISTINCT event_id) FROM effects WHERE event_id = ANY(:owed)"
            return await self.scalar(done, owed=owed) == len(owed)

        return await self.until(there, within=within, step=0.01)

    async def quiet(self, *, within: float = 60) -> bool:
        """Wait until nothing is under way; whether that came in time."""

        async def nothing_left() -> bool:
            if await self.scalar("SELECT count(*) FROM event_outbox"):
                return False
            group = await self.group()
            if group.get("pending") != 0 or group.get("lag") != 0:
                return False
            owed = "SELECT count(*) FROM ledger WHERE NOT dead"
            done = "SELECT count(*) FROM effects"
            return await self.scalar(owed) <= await self.scalar(done)

        with suppress(TimeoutError):
            await self.until(nothing_left, within=within, step=0.05)
            return True
        return False
