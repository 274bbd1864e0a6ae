"""Engines and sessions: asyncpg under async code, psycopg under sync code.

Both derive from CARTSNITCH_DATABASE_URL, whatever driver it names, and work
through PgBouncer in transaction mode as well: nothing is set for a session but
what PgBouncer follows (application name, time zone), and the statement timeout
is set anew in each transaction. Prepared statements need PgBouncer 1.22; for an
older one append ``?prepared_statement_cache_size=0`` to the URL.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from sqlalchemy import Connection, Engine, ExceptionContext, NullPool, create_engine, event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from cartsnitch_common.db.failures import connection_failure, is_lost, sqlstate_of
from cartsnitch_common.db.url import SETTING, asyncpg_address, psycopg_address
from cartsnitch_common.errors import ServerUnavailableError, ServerVersionError

if TYPE_CHECKING:
    from cartsnitch_common.config import Settings
    from cartsnitch_common.db.url import DriverAddress

OLDEST_POSTGRES: Final = 15
"""The oldest major version of PostgreSQL that is supported and tested for."""

_CONNECT_ERRORS: Final = (
    SQLAlchemyError,
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    AssertionError,  # SQLAlchemy, of a server whose version does not read like PostgreSQL's
)


def async_engine(settings: Settings, **options: Any) -> AsyncEngine:
    """An engine on asyncpg. Connects when it is first used.

    Args:
        settings: Address, pool size, timeouts and the service's name.
        **options: Passed on to ``create_async_engine``; they win.

    Raises:
        SettingError: CARTSNITCH_DATABASE_URL is not set or cannot be read.
    """
    address = asyncpg_address(settings)
    engine = create_async_engine(address.url, **_options(settings, address, options))
    # asyncpg has set the time zone while it connected.
    _prepare(engine.sync_engine, _local_timeout(settings))
    return engine


def sync_engine(settings: Settings, **options: Any) -> Engine:
    """An engine on psycopg. Connects when it is first used.

    Args:
        settings: Address, pool size, timeouts and the service's name.
        **options: Passed on to ``create_engine``; they win.

    Raises:
        SettingError: CARTSNITCH_DATABASE_URL is not set or cannot be read.
    """
    address = psycopg_address(settings)
    engine = create_engine(address.url, **_options(settings, address, options))
    # libpq can set it only by `options`, which PgBouncer refuses before 1.20.
    _prepare(engine, f"SET LOCAL TimeZone = 'UTC'; {_local_timeout(settings)}")
    return engine


def async_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Make sessions whose objects stay readable after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def sync_sessions(engine: Engine) -> sessionmaker[Session]:
    """Make sessions whose objects stay readable after a commit."""
    return sessionmaker(engine, expire_on_commit=False)


def in_autocommit(connection: Connection) -> bool:
    """Whether each statement is a transaction of its own, so that SET LOCAL means nothing."""
    driver = connection.connection.dbapi_connection
    return driver is not None and bool(driver.autocommit)


async def check_database(settings: Settings) -> str:
    """Make sure that the database can be used.

    Returns:
        The server's version, such as ``18.6``.

    Raises:
        SettingError: CARTSNITCH_DATABASE_URL is not set or cannot be read.
        ServerUnavailableError: it cannot be reached or refuses the login.
        ServerVersionError: it is older than PostgreSQL 15.
    """
    engine = async_engine(settings, poolclass=NullPool)
    try:
        # The driver's timeout ends at the login; what comes after can hang too.
        async with asyncio.timeout(settings.database_connect_timeout), engine.connect() as checked:
            return _supported_version(checked.sync_connection)
    except _CONNECT_ERRORS as error:
        reason = connection_failure(error)
    raise ServerUnavailableError(SETTING, reason)


def check_database_sync(settings: Settings) -> str:
    """Make sure that the database can be used, as ``check_database`` does."""
    engine = sync_engine(settings, poolclass=NullPool)
    try:
        with engine.connect() as checked:
            return _supported_version(checked)
    except _CONNECT_ERRORS as error:
        reason = connection_failure(error)
    raise ServerUnavailableError(SETTING, reason)


def _options(settings: Settings, address: DriverAddress, given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {
        # What an error message shows is read by more people than the row.
        "hide_parameters": True,
        "pool_pre_ping": True,
        **given,
        "connect_args": address.connect_args | given.get("connect_args", {}),
    }
    if "poolclass" not in given:
        options.setdefault("pool_size", settings.database_pool_size)
        options.setdefault("max_overflow", settings.database_pool_size)
    return options


def _local_timeout(settings: Settings) -> str:
    milliseconds = round(settings.database_statement_timeout * 1000)
    # A role's or a server's own limit stays when ours is off.
    return f"SET LOCAL statement_timeout = {milliseconds}" if milliseconds else ""


def _prepare(engine: Engine, at_begin: str) -> None:
    @event.listens_for(engine, "handle_error")
    def leave_lost_server(context: ExceptionContext) -> None:
        # After a failover the pool holds connections to a server that is no
        # longer the primary and still answers a ping.
        if is_lost(sqlstate_of(context.original_exception)):
            context.is_disconnect = True

    if not at_begin:
        return

    @event.listens_for(engine, "begin")
    def set_for_transaction(connection: Connection) -> None:
        if not in_autocommit(connection):
            connection.exec_driver_sql(at_begin)


def _supported_version(connection: Connection | None) -> str:
    version = connection.dialect.server_version_info if connection is not None else None
    found = ".".join(str(part) for part in version or (0,))
    if int(found.partition(".")[0]) < OLDEST_POSTGRES:
        raise ServerVersionError(
            SETTING, product="PostgreSQL", found=found, needed=str(OLDEST_POSTGRES)
        )
    return found
