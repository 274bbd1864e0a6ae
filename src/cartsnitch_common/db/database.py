"""The way of one process to the database: its pools, its sessions, its start and its end.

    database = Database(Settings.load())

    async with database.sessions.begin() as session:       # commits
        session.add(Store(...))

    async with database.read_sessions() as session:        # on the replica, if there is one
        stores = await session.scalars(select(Store))

With FastAPI, without which all of this works as well::

    app = FastAPI(lifespan=database.lifespan)
    DbSession = Annotated[AsyncSession, Depends(database.session)]

    @app.post("/stores")
    async def add_store(store: StoreIn, session: DbSession) -> None:
        session.add(Store(**store.model_dump()))
        await session.commit()
"""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from cartsnitch_common.db.engine import (
    async_engine,
    async_sessions,
    check_database,
    sync_engine,
    sync_sessions,
)
from cartsnitch_common.db.engine_events import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
    from sqlalchemy.orm import Session, sessionmaker

    from cartsnitch_common.config import Settings


class Database:
    """Engines and sessions, each made when it is first used. One object a process.

    There is one pool for asynchronous and one for synchronous code, because they are
    of two drivers, and the same for the replica if there is one. After a fork the
    child's pools are empty; the parent's connections stay the parent's.

    Sessions that only read are on the replica, which may be behind, or where none is
    set on the primary. Their transactions are READ ONLY: to write is a
    ``ReadOnlyError``. A long query on a replica may have to give way to what
    it replays, which is a ``TransactionAbortedError``: try it again.
    """

    def __init__(self, settings: Settings) -> None:
        """Describe it; nothing is opened.

        Args:
            settings: Addresses, pool size, limits of time and the service's name.
        """
        self._settings = settings
        self._lock = threading.RLock()
        self._async: dict[str, Any] = {}
        self._sync: dict[str, Any] = {}

    # -- engines and sessions ---------------------------------------------------

    @property
    def async_engine(self) -> AsyncEngine:
        """The primary, on asyncpg."""
        return self._once(self._async, "engine", lambda: async_engine(self._settings))

    @property
    def sync_engine(self) -> Engine:
        """The primary, on psycopg."""
        return self._once(self._sync, "engine", lambda: sync_engine(self._settings))

    @property
    def async_read_engine(self) -> AsyncEngine:
        """The replica, or else the primary's pool, only to read."""
        return self._once(self._async, "read_engine", self._make_async_read_engine)

    @property
    def sync_read_engine(self) -> Engine:
        """The replica, or else the primary's pool, only to read; on psycopg."""
        return self._once(self._sync, "read_engine", self._make_sync_read_engine)

    @property
    def sessions(self) -> async_sessionmaker[AsyncSession]:
        """Makes sessions. Their objects stay readable after a commit."""
        return self._once(self._async, "sessions", lambda: async_sessions(self.async_engine))

    @property
    def read_sessions(self) -> async_sessionmaker[AsyncSession]:
        """Makes sessions that only read."""
        return self._once(
            self._async, "read_sessions", lambda: async_sessions(self.async_read_engine)
        )

    @property
    def sync_sessions(self) -> sessionmaker[Session]:
        """Makes sessions for synchronous code."""
        return self._once(self._sync, "sessions", lambda: sync_sessions(self.sync_engine))

    @property
    def sync_read_sessions(self) -> sessionmaker[Session]:
        """Makes sessions that only read, for synchronous code."""
        return self._once(self._sync, "read_sessions", lambda: sync_sessions(self.sync_read_engine))

    # -- dependencies -----------------------------------------------------------

    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session for one request: ``Depends(database.session)``.

        The handler commits. What it has not committed is rolled back, also when the
        request fails or is cancelled: FastAPI ends dependencies when the answer is on
        its way, and a commit that failed there could no longer be told.
        """
        async with self.sessions() as session:
            yield session

    async def read_session(self) -> AsyncIterator[AsyncSession]:
        """A session for one request that only reads."""
        async with self.read_sessions() as session:
            yield session

    def sync_session(self) -> Iterator[Session]:
        """``session`` for handlers that are no coroutines."""
        with self.sync_sessions() as session:
            yield session

    def sync_read_session(self) -> Iterator[Session]:
        """``read_session`` for handlers that are no coroutines."""
        with self.sync_read_sessions() as session:
            yield session

    # -- start and end ----------------------------------------------------------

    async def check(self) -> None:
        """Make sure, at a service's start, that it can work.

        Raises:
            SettingError: An address is not set or cannot be read, or a database is not
                encoded in UTF8.
            ServerUnavailableError: A server cannot be reached or refuses the login.
            ServerVersionError: A server is older than PostgreSQL 15.
            SchemaVersionError: The schema is none that this version works with.
        """
        # Alembic is needed here only, and slow to load.
        from cartsnitch_common.db.revisions import check_schema  # noqa: PLC0415

        await check_database(self._settings)
        if self._has_replica:
            await check_database(self._settings, replica=True)
        await check_schema(self.async_engine)

    async def dispose(self) -> None:
        """Close every connection that is not in use. The next use begins anew."""
        for engine in self._forget(self._async):
            await engine.dispose()
        self.dispose_sync()

    def dispose_sync(self) -> None:
        """``dispose`` for a process without asynchronous code."""
        for engine in self._forget(self._sync):
            engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.dispose_sync()

    @asynccontextmanager
    async def lifespan(self, _app: object = None) -> AsyncIterator[None]:
        """Check at the start and dispose at the end: ``FastAPI(lifespan=database.lifespan)``."""
        async with self:
            await self.check()
            yield

    # -- helpers ----------------------------------------------------------------

    @property
    def _has_replica(self) -> bool:
        return self._settings.database_replica_url is not None

    def _make_async_read_engine(self) -> AsyncEngine:
        if self._has_replica:
            return async_engine(self._settings, replica=True)
        return self.async_engine.execution_options(**{READ_ONLY: True})

    def _make_sync_read_engine(self) -> Engine:
        if self._has_replica:
            return sync_engine(self._settings, replica=True)
        return self.sync_engine.execution_options(**{READ_ONLY: True})

    def _once[T](self, made: dict[str, Any], name: str, make: Callable[[], T]) -> T:
        with self._lock:  # two threads that come first must not make two pools
            if name not in made:
                made[name] = make()
            found: T = made[name]
            return found

    def _forget(self, made: dict[str, Any]) -> list[Any]:
        """Forget what was made, and return its engines."""
        with self._lock:
            engines = [made[name] for name in ("engine", "read_engine") if name in made]
            made.clear()
        return engines
