"""What happens at the events of an engine's life: connect, begin, error."""

from __future__ import annotations

import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from sqlalchemy import Connection, Engine, ExceptionContext, QueuePool, event
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import AsyncAdaptedQueuePool

from cartsnitch_common.db.driver_errors import blank, database_error
from cartsnitch_common.db.drivers import asyncpg_classes, psycopg_classes
from cartsnitch_common.db.failures import connection_failure, is_lost, sqlstate_of
from cartsnitch_common.errors import (
    DatabaseUnavailableError,
    SettingError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

READ_ONLY: Final = "postgresql_readonly"
"""SQLAlchemy's execution option under which each transaction begins as READ ONLY."""

ISOLATION: Final = "READ COMMITTED"
"""Of each transaction that names no other level, whatever is the database's default.

Locks that this package takes, and triggers that delete, are followed by statements that must
see what was committed meanwhile. At a higher level they would fail, or be refused.
"""

_ENCODING: Final = "UTF8"
_SERVER_ENCODING: Final = "server_encoding"
_ONLY_READS: Final = "25006"
_ENDED_BY_LIMIT: Final = frozenset({"25P03", "25P04", "57P05"})

_ENGINES: Final[WeakSet[Engine]] = WeakSet()


class SyncPool(QueuePool):
    """A pool that says in our words that it has no connection free."""

    def connect(self) -> PoolProxiedConnection:
        """See ``Pool.connect``."""
        return _checked_out(super().connect)


class AsyncPool(AsyncAdaptedQueuePool):
    """``SyncPool`` for asyncpg."""

    def connect(self) -> PoolProxiedConnection:
        """See ``Pool.connect``."""
        try:
            return _checked_out(super().connect)
        except TimeoutError as error:
            # A ping without an answer. The others are as old, and each would take as long.
            self._invalidate_time = time.time()
            reason = connection_failure(error)
        raise DatabaseUnavailableError(reason=reason)


def in_autocommit(connection: Connection) -> bool:
    """Whether each statement is a transaction of its own, so that SET LOCAL means nothing."""
    driver = connection.connection.dbapi_connection
    return driver is not None and bool(driver.autocommit)


def raise_ours(engine: Engine) -> None:
    """Put our errors in the place of the driver's, at connect, in statements and at commit."""

    @event.listens_for(engine, "do_connect")
    def connect(
        dialect: Dialect, _entry: ConnectionPoolEntry, args: list[Any], options: dict[str, Any]
    ) -> Any:
        try:
            return dialect.connect(*args, **options)
        except _not_connected() as error:
            ours = DatabaseUnavailableError(reason=connection_failure(error))
            ours.sqlstate = sqlstate_of(error)
        raise ours

    @event.listens_for(engine, "handle_error")
    def translate(context: ExceptionContext) -> BaseException | None:
        # Of a ping that failed only the pool wants to know; a task's cancellation,
        # which costs it the connection too, stays what it is.
        if context.is_pre_ping or not isinstance(context.original_exception, Exception):
            return None
        ours = database_error(
            context.sqlalchemy_exception or context.original_exception,
            lost=context.is_disconnect,
            read_only=_only_reads(context.connection),
        )
        if ours is not None:
            # SQLAlchemy raises ours from the driver's error, which would print it.
            blank(context.original_exception)
        return ours


def refuse_other_encodings(
    engine: Engine, setting: str, encoding_of: Callable[[Any], str | None]
) -> None:
    """Use no database whose encoding lacks letters: each such text would be an error of its own.

    Args:
        engine: Each of its new connections is looked at, before anything is sent on it.
        setting: The name of the setting that leads to the database.
        encoding_of: Reads from a driver's connection what the server has said of itself when
            it began, without a round trip; None where a pooler keeps it to itself.
    """

    @event.listens_for(engine, "connect", insert=True)
    def look(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        found = encoding_of(entry.driver_connection)
        if found not in {None, _ENCODING}:
            engine.dialect.do_terminate(connection)
            raise SettingError(setting, f"the database's encoding must be UTF8, and is {found}")


def asyncpg_encoding(connection: Any) -> str | None:
    """The encoding of the database of an asyncpg connection."""
    return getattr(connection.get_settings(), _SERVER_ENCODING, None)


def psycopg_encoding(connection: Any) -> str | None:
    """The encoding of the database of a psycopg connection."""
    found: str | None = connection.info.parameter_status(_SERVER_ENCODING)
    return found


def leave_lost_servers(engine: Engine) -> None:
    """Give up the pool's connections when a server stops, or is no longer the primary.

    After a failover the pool holds connections to a server that still answers a ping. And
    after a migration that changed a type, it holds connections that prepared statements before.
    """

    @event.listens_for(engine, "handle_error")
    def leave(context: ExceptionContext) -> None:
        state = sqlstate_of(context.original_exception)
        if state == _ONLY_READS and _only_reads(context.connection):
            return  # as the session wanted it
        gone = (ConnectionError, TimeoutError, AsyncAdapt_asyncpg_dbapi.InvalidCachedStatementError)
        if is_lost(state) or isinstance(context.original_exception, gone):
            context.is_disconnect = True
            # A limit of time ends one connection and says nothing of the others.
            context.invalidate_pool_on_disconnect = state not in _ENDED_BY_LIMIT


def forget_after_fork(engine: Engine) -> None:
    """Let a forked process begin with an empty pool.

    With the parent's connections both would write into one stream of bytes.
    """
    _hold_at_fork()
    _ENGINES.add(engine)


def begin_with(engine: Engine, statements: str) -> None:
    """Run statements at the begin of each transaction; nothing is set for the session."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if not in_autocommit(connection):
            connection.exec_driver_sql(statements)


def refuse_lost_commits(engine: Engine) -> None:
    """Do not commit by psycopg what an error has ended; see ``beginning`` for asyncpg."""
    # Loaded by the engine's dialect already.
    from psycopg.pq import TransactionStatus  # noqa: PLC0415

    @event.listens_for(engine, "commit")
    def commit(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if driver.info.transaction_status == TransactionStatus.INERROR:
            connection.invalidate()  # SQLAlchemy takes it for ended, and would use it again
            raise TransactionAbortedError


def _not_connected() -> tuple[type[Exception], ...]:
    asyncpg = asyncpg_classes("PostgresError", "InterfaceError", "InternalClientError")
    # A host that is no name is told by its encoding.
    return (OSError, UnicodeError, *asyncpg, *psycopg_classes("Error"))


@cache
def _hold_at_fork() -> None:
    def forget() -> None:
        for engine in _ENGINES:
            engine.dispose(close=False)  # they are the parent's to close

    os.register_at_fork(after_in_child=forget)


def _checked_out(connect: Callable[[], PoolProxiedConnection]) -> PoolProxiedConnection:
    try:
        return connect()
    except PoolTimeoutError as error:
        reason = connection_failure(error)
    raise DatabaseUnavailableError(reason=reason)


def _only_reads(connection: Connection | None) -> bool:
    return connection is not None and bool(connection.get_execution_options().get(READ_ONLY))
