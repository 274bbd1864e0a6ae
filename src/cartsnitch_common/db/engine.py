"""Engines and sessions: asyncpg under async code, psycopg under sync code.

Both derive from CARTSNITCH_DATABASE_URL, whatever driver it names, and work
through PgBouncer in transaction mode as well: nothing is set for a session but
what PgBouncer follows (application name, time zone). The statement timeout is set
anew in each transaction, which is READ COMMITTED unless its caller says otherwise.
Prepared statements need PgBouncer 1.22; for an older one append
``?prepared_statement_cache_size=0`` to the URL.

What fails in the database is a ``DatabaseError``, in the place of the driver's own
error, which may quote a row: in statements, at a flush, at a commit, and when there
is no connection. A database that is not encoded in UTF8 is an error of its setting, at
the first connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, NullPool, Pool, QueuePool, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session, sessionmaker

from cartsnitch_common.db.engine_events import (
    ISOLATION,
    READ_ONLY,
    AsyncPool,
    SyncPool,
    asyncpg_encoding,
    begin_with,
    forget_after_fork,
    in_autocommit,
    leave_lost_servers,
    psycopg_encoding,
    raise_ours,
    refuse_lost_commits,
    refuse_other_encodings,
)
from cartsnitch_common.db.failures import connection_failure
from cartsnitch_common.db.pings import (
    asyncpg_may_be_ended,
    ping_in_one_trip,
    ping_the_idle,
    psycopg_may_be_ended,
)
from cartsnitch_common.db.url import REPLICA_SETTING, SETTING, asyncpg_address, psycopg_address
from cartsnitch_common.errors import DatabaseError, ServerUnavailableError, ServerVersionError

if TYPE_CHECKING:
    from cartsnitch_common.config import Settings
    from cartsnitch_common.db.url import DriverAddress

__all__ = [
    "OLDEST_POSTGRES",
    "async_engine",
    "async_sessions",
    "check_database",
    "check_database_sync",
    "in_autocommit",
    "sync_engine",
    "sync_sessions",
]

OLDEST_POSTGRES: Final = 15
"""The oldest major version of PostgreSQL that is supported and tested for."""

_PRE_PING: Final = "pool_pre_ping"
_CONNECT_ERRORS: Final = (
    DatabaseError,
    SQLAlchemyError,
    OSError,
    UnicodeError,  # of a host that is no name
    AssertionError,  # SQLAlchemy, of a server whose version does not read like PostgreSQL's
)


def async_engine(
    settings: Settings, *, replica: bool = False, driver_errors: bool = False, **options: Any
) -> AsyncEngine:
    """An engine on asyncpg. Connects when it is first used.

    Args:
        settings: Address, pool size, timeouts and the service's name.
        replica: Use the server of CARTSNITCH_DATABASE_REPLICA_URL, and only to read.
        driver_errors: Leave SQLAlchemy's and the driver's errors as they are.
        **options: Passed on to ``create_async_engine``; they win. With ``pool_pre_ping``
            every connection of the pool is pinged before it is used, or none.

    Raises:
        SettingError: The setting of the URL is not set or cannot be read.
    """
    address = asyncpg_address(settings, replica=replica)
    # Here, because only who uses asyncpg has to load it.
    from cartsnitch_common.db.beginning import connection_class  # noqa: PLC0415

    # asyncpg sets the time zone while it connects.
    address.connect_args["connection_class"] = connection_class(_local_timeout(settings))
    options = _defaults(AsyncPool, replica=replica) | options
    engine = create_async_engine(address.url, **_options(settings, address, options))
    ping_in_one_trip(engine.sync_engine)
    if _PRE_PING not in options:
        ping_the_idle(engine.sync_engine, asyncpg_may_be_ended)
    refuse_other_encodings(engine.sync_engine, _setting(replica), asyncpg_encoding)
    _prepare(engine.sync_engine, driver_errors=driver_errors)
    return engine


def sync_engine(
    settings: Settings, *, replica: bool = False, driver_errors: bool = False, **options: Any
) -> Engine:
    """An engine on psycopg. Connects when it is first used.

    Args:
        settings: Address, pool size, timeouts and the service's name.
        replica: Use the server of CARTSNITCH_DATABASE_REPLICA_URL, and only to read.
        driver_errors: Leave SQLAlchemy's and the driver's errors as they are.
        **options: Passed on to ``create_engine``; they win. With ``pool_pre_ping`` every
            connection of the pool is pinged before it is used, or none.

    Raises:
        SettingError: The setting of the URL is not set or cannot be read.
    """
    address = psycopg_address(settings, replica=replica)
    options = _defaults(SyncPool, replica=replica) | options
    engine = create_engine(address.url, **_options(settings, address, options))
    if _PRE_PING not in options:
        ping_the_idle(engine, psycopg_may_be_ended)
    # libpq can set it only by `options`, which PgBouncer refuses before 1.20.
    begin_with(engine, f"SET LOCAL TimeZone = 'UTC'; {_local_timeout(settings)}")
    refuse_lost_commits(engine)
    refuse_other_encodings(engine, _setting(replica), psycopg_encoding)
    _prepare(engine, driver_errors=driver_errors)
    return engine


def async_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Make sessions whose objects stay readable after a commit."""
    return async_sessionmaker(engine, expire_on_commit=False)


def sync_sessions(engine: Engine) -> sessionmaker[Session]:
    """Make sessions whose objects stay readable after a commit."""
    return sessionmaker(engine, expire_on_commit=False)


async def check_database(settings: Settings, *, replica: bool = False) -> str:
    """Make sure that the database, or its replica, can be used.

    Returns:
        The server's version, such as ``18.6``.

    Raises:
        SettingError: The setting of the URL is not set or cannot be read, or the database's
            encoding is not UTF8.
        ServerUnavailableError: it cannot be reached or refuses the login.
        ServerVersionError: it is older than PostgreSQL 15.
    """
    engine = async_engine(settings, replica=replica, poolclass=NullPool)
    try:
        # The driver's timeout ends at the login; what comes after can hang too.
        async with asyncio.timeout(settings.database_connect_timeout), engine.connect() as checked:
            return _supported_version(checked.sync_connection)
    except _CONNECT_ERRORS as error:
        reason = connection_failure(error)
    raise ServerUnavailableError(_setting(replica), reason)


def check_database_sync(settings: Settings) -> str:
    """Make sure that the database can be used, as ``check_database`` does."""
    engine = sync_engine(settings, poolclass=NullPool)
    try:
        with engine.connect() as checked:
            return _supported_version(checked)
    except _CONNECT_ERRORS as error:
        reason = connection_failure(error)
    raise ServerUnavailableError(SETTING, reason)


def _setting(replica: bool) -> str:  # noqa: FBT001 - of a private function
    return REPLICA_SETTING if replica else SETTING


def _defaults(pool: type[Pool], *, replica: bool) -> dict[str, Any]:
    defaults: dict[str, Any] = {"poolclass": pool, "isolation_level": ISOLATION}
    return defaults | ({"execution_options": {READ_ONLY: True}} if replica else {})


def _options(settings: Settings, address: DriverAddress, given: dict[str, Any]) -> dict[str, Any]:
    options: dict[str, Any] = {
        # What an error message shows is read by more people than the row.
        "hide_parameters": True,
        **given,
        "connect_args": address.connect_args | given.get("connect_args", {}),
    }
    if issubclass(given["poolclass"], QueuePool):
        options.setdefault("pool_size", settings.database_pool_size)
        options.setdefault("max_overflow", settings.database_pool_size)
    return options


def _local_timeout(settings: Settings) -> str:
    milliseconds = round(settings.database_statement_timeout * 1000)
    # A role's or a server's own limit stays when ours is off.
    return f"SET LOCAL statement_timeout = {milliseconds}" if milliseconds else ""


def _prepare(engine: Engine, *, driver_errors: bool) -> None:
    forget_after_fork(engine)
    leave_lost_servers(engine)
    if not driver_errors:
        raise_ours(engine)


def _supported_version(connection: Connection | None) -> str:
    version = connection.dialect.server_version_info if connection is not None else None
    found = ".".join(str(part) for part in version or (0,))
    if int(found.partition(".")[0]) < OLDEST_POSTGRES:
        raise ServerVersionError(
            SETTING, product="PostgreSQL", found=found, needed=str(OLDEST_POSTGRES)
        )
    return found
