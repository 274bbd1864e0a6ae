"""The connections that migrations run on, and one runner at a time.

They are the runner's own: the limits on time that services have do not hold for
them, and nothing is kept in a session, so that PgBouncer in any mode may stand in
between.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, NullPool, text
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db.engine import check_database_sync, sync_engine
from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.db.url import SETTING
from cartsnitch_common.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cartsnitch_common.config import Settings

LOCK_WAIT: Final = 600.0
"""How long a run waits for another one to end. Unit: seconds."""

LOCKED: Final = "55P03"
"""The SQLSTATE of a lock that was not granted in time."""

_LOCK_KEY: Final = 0x6361727473  # "carts"; an advisory lock is one database's
_POLL: Final = 0.1  # seconds
_SCHEMA: Final = "public"


class MigrationError(SettingError):
    """the schema could not be brought to the wanted revision.

    The setting is the database's, because that is what it happened to.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(SETTING, reason)


@contextmanager
def own_engine(settings: Settings) -> Iterator[Engine]:
    """An engine without the limits on time that services have; keeps no connection.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: a statement failed.
    """
    unlimited = settings.model_copy(update={"database_statement_timeout": 0.0})
    check_database_sync(unlimited)
    engine = sync_engine(unlimited, driver_errors=True, poolclass=NullPool)
    try:
        yield engine
    except DBAPIError as error:
        raise MigrationError(reason_of(error)) from None
    finally:
        engine.dispose()


@contextmanager
def exclusive_connection(settings: Settings) -> Iterator[Connection]:
    """A connection for migrations, while no other runner has one.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: another runner did not end, or a migration failed.
    """
    with own_engine(settings) as engine, exclusive(engine), engine.connect() as connection:
        yield connection


@contextmanager
def exclusive(engine: Engine) -> Iterator[None]:
    """Hold the advisory lock on a connection of its own, for every transaction inside.

    The lock is that of an open transaction: a session's would stay behind on
    PgBouncer's connection to the server. The transaction is READ COMMITTED, reads no
    table and keeps no snapshot, so that neither vacuum nor CREATE INDEX CONCURRENTLY
    waits for it. For that its last statement has no parameters: the extended protocol would keep
    the statement, and with it a snapshot, until the next one.

    Those who want the lock ask again and again: a statement that waits would keep
    its snapshot, and a transaction that waits one of PgBouncer's connections.

    Raises:
        SettingError: the search_path does not begin with public.
        MigrationError: another runner did not end.
    """
    with engine.connect() as connection:
        _require_schema_in_front(connection)
        ask = text(f"SELECT pg_try_advisory_xact_lock({_LOCK_KEY})")
        deadline = time.monotonic() + LOCK_WAIT
        while not connection.scalar(ask):
            connection.rollback()
            if time.monotonic() > deadline:
                message = f"another migration of this database has run for {LOCK_WAIT:.0f} s"
                raise MigrationError(message)
            time.sleep(_POLL)
        connection.execute(
            text(
                "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN"
                " ('idle_in_transaction_session_timeout', 'transaction_timeout')"
            )
        )
        yield


def _require_schema_in_front(connection: Connection) -> None:
    """Make sure that what has no schema's name before it is made and found in public.

    A schema that is called like the login comes before it by PostgreSQL's default.
    """
    first = connection.scalar(text("SELECT current_schema()"))
    if first != _SCHEMA:
        reason = (
            f"the search_path must begin with {_SCHEMA}, and begins with {first or 'no schema'}:"
            f" ALTER ROLE ... SET search_path = {_SCHEMA}"
        )
        raise SettingError(SETTING, reason)


def reason_of(error: DBAPIError) -> str:
    """What a statement failed on, in one line that quotes no row."""
    state = sqlstate_of(error)
    if state == LOCKED:  # PostgreSQL ends an autovacuum for who waits a second, which nobody may
        return f"a long transaction or an autovacuum held a table all the time ({state})"
    # Not the whole message: its DETAIL may quote a row.
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return f"{primary or type(error.orig).__name__} ({state or 'no SQLSTATE'})"
