"""What the comparisons share: servers, databases and whatever is costly to make."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import psycopg
from psycopg import sql

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.embedded import start_servers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from types import TracebackType


class World:
    """Makes things when they are first asked for, and clears them up at the end."""

    def __init__(self, *, quick: bool = False) -> None:
        """Begin with nothing made.

        Args:
            quick: Whether data sets are to be small: it shows that all of it runs, and
                the ratios mean nothing.
        """
        self.quick = quick
        self._stack = AsyncExitStack()
        self._made: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def get[T](self, name: str, make: Callable[[World], AsyncIterator[T]]) -> T:
        """The thing of a name, made once.

        Args:
            name: Its name; a comparison of another module may ask for it too.
            make: An asynchronous generator that yields it once and then clears up.
        """
        if name not in self._made:
            made = make(self)
            self._made[name] = await anext(made)
            self._stack.push_async_callback(anext, made, None)
        found: T = self._made[name]
        return found

    def size(self, full: int) -> int:
        """The size of a data set: as given, or a hundredth of it in a quick run."""
        return full // 100 if self.quick else full

    async def settings(self, database: str = "bench") -> Settings:
        """Settings for a database at head, made when its name is first asked for.

        Servers that the environment names are used as they are; else real ones start,
        which write to the disk as a production server does.
        """

        async def make(world: World) -> AsyncIterator[Settings]:
            given = Settings.load(database_statement_timeout=3600)
            if given.database_url is None:
                url = await world.get("server", _server)
            else:
                url = given.require_database_url()
            name = f"cartsnitch_{database}"
            settings = Settings.load(
                database_url=_fresh_database(url, name),
                service="bench",
                database_statement_timeout=3600,
            )
            migrate.upgrade(settings)
            yield settings
            _drop_database(url, name)

        return await self.get(f"settings:{database}", make)


async def _server(_: World) -> AsyncIterator[str]:
    # What a small server of the platform has; the planner must see the memory it has.
    tuned = {
        "shared_buffers": "256MB",
        "effective_cache_size": "1GB",
        "maintenance_work_mem": "256MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "30min",
        "random_page_cost": "1.1",
        # Each data set is vacuumed when it is made. To do it again beside a measurement would
        # slow down whichever side it meets.
        "autovacuum": "off",
    }
    with start_servers(durable=True, postgres_settings=tuned) as servers:
        yield servers.database_url


def _fresh_database(url: str, name: str) -> str:
    _drop_database(url, name)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _drop_database(url: str, name: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        # FORCE: a comparison that leaks a connection keeps no gigabytes on a server.
        identifier = sql.Identifier(name)
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} (FORCE)").format(identifier))
