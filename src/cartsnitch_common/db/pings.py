"""Whether a connection of the pool still works, asked before it is used."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Dialect, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

WITHOUT_PING: Final = 0.5
"""Seconds that a connection may have been idle to be used without a ping."""

_RETURNED: Final = "cartsnitch_returned"


def ping_the_idle(engine: Engine, may_be_ended: Callable[[Any], bool]) -> None:
    """Ping a connection before it is used, if it was idle for long or may be ended.

    A connection that was in use just now nearly always works, and a ping is a round trip for
    every transaction. Only a server that vanishes without a word is met by a statement instead.
    Where a ping fails, the pool gives up all its connections: they are as old.

    Args:
        engine: One that is made with ``pool_pre_ping=False``.
        may_be_ended: Whether a driver's connection looks ended by the server. It may not ask
            the server.
    """

    @event.listens_for(engine, "checkin")
    def note(_connection: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        entry.info[_RETURNED] = time.monotonic()  # SQLAlchemy clears it for a new connection

    @event.listens_for(engine, "checkout")
    def ask(connection: DBAPIConnection, entry: ConnectionPoolEntry, _checked_out: object) -> None:
        returned = entry.info.get(_RETURNED)
        if returned is None or (
            time.monotonic() - returned < WITHOUT_PING and not may_be_ended(entry.driver_connection)
        ):
            return
        if not _answers(engine.dialect, connection):
            # Not inside `except`: there the error would carry the driver's.
            raise InvalidatePoolError


def asyncpg_may_be_ended(connection: Any) -> bool:
    """Whether asyncpg has read that the connection is ended, or is about to."""
    transport = connection._transport  # noqa: SLF001 - there is no other way to its socket
    return connection.is_closed() or _has_unread(transport.get_extra_info("socket").fileno())


def psycopg_may_be_ended(connection: Any) -> bool:
    """Whether there is something to read, which psycopg does only in a statement."""
    return connection.closed or _has_unread(connection.fileno())


def _has_unread(file: int) -> bool:
    """To an idle connection a server says little but that it ends it."""
    unread = select.poll()
    unread.register(file, select.POLLIN)
    return bool(unread.poll(0))


def ping_in_one_trip(engine: Engine) -> None:
    """Ask an asyncpg connection for a sign of life with one query of nothing.

    SQLAlchemy asks within a transaction, which is three round trips. It does so for poolers,
    because it prepares the query; one that is not prepared needs no transaction behind any of
    them.
    """

    def ping(connection: Any) -> bool:
        try:
            connection.run_async(lambda driver: driver.execute("SELECT"))
        except Exception as error:  # noqa: BLE001 - raised again, as SQLAlchemy's ping does
            connection._handle_exception(error)  # noqa: SLF001 - makes it the dialect's error
        return True

    engine.dialect.do_ping = ping  # type: ignore[method-assign, assignment] # an instance has no self to pass


def _answers(dialect: Dialect, connection: DBAPIConnection) -> bool:
    try:
        return dialect.do_ping(connection)
    except dialect.loaded_dbapi.Error:
        return False
