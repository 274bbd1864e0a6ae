"""Brings a database to a revision of the schema, however many try at once.

The connections are the runner's own: the limits on time that services have do
not hold for them, and nothing is kept in a session, so that PgBouncer in any
mode may stand in between.
"""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, NullPool, text
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db.engine import check_database_sync, sync_engine
from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.db.revisions import (
    VERSION_TABLE,
    Revision,
    SchemaStatus,
    alembic_config,
    as_revision,
    check_schema,
    check_schema_sync,
    heads,
    read_status,
)
from cartsnitch_common.db.url import SETTING
from cartsnitch_common.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.script import Script

    from cartsnitch_common.config import Settings

__all__ = [
    "VERSION_TABLE",
    "MigrationError",
    "MigrationResult",
    "Revision",
    "SchemaStatus",
    "check",
    "check_schema",
    "check_schema_sync",
    "current",
    "downgrade",
    "exclusive_connection",
    "heads",
    "own_engine",
    "pending",
    "require_schema",
    "upgrade",
]

LOCK_WAIT: Final = 600.0
"""How long a run waits for another one to end. Unit: seconds."""

_LOCK_KEY: Final = 0x6361727473  # "carts"; an advisory lock is one database's
_POLL: Final = 0.1  # seconds
_ATTEMPTS: Final = 60
_LONGEST_PAUSE: Final = 1.0  # seconds
_LOCKED: Final = "55P03"
_TRANSIENT: Final = frozenset({"40P01", _LOCKED})  # the other is a deadlock

# Alembic keeps the environment that runs in globals of its modules.
_one_environment: Final = threading.Lock()


class MigrationError(SettingError):
    """the schema could not be brought to the wanted revision.

    The setting is the database's, because that is what it happened to.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(SETTING, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationResult:
    """What an upgrade or a downgrade did."""

    before: str | None
    """The database's revision before; None when it had none."""

    after: str | None
    """The database's revision after; None when it has none."""

    applied: tuple[Revision, ...]
    """The migrations that this run applied, in order; empty when another run did."""


def upgrade(
    settings: Settings,
    revision: str = "head",
    *,
    on_applied: Callable[[Revision], None] | None = None,
) -> MigrationResult:
    """Apply the migrations that lead to a revision. May run several times at once.

    A database that a newer version has migrated is at the head, and more: after a
    rollback the older version's upgrade has nothing to do, as long as it is served.

    Args:
        settings: Says which database.
        revision: Its id, or ``head``.
        on_applied: Called after each migration.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: a migration failed and was rolled back, those before it
            stay; or the revision, or the one of the database, is not known.
    """
    return _migrate(settings, command.upgrade, revision, on_applied)


def downgrade(
    settings: Settings, revision: str, *, on_applied: Callable[[Revision], None] | None = None
) -> MigrationResult:
    """Take migrations back, down to a revision or to ``base``, with the data they hold.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: a migration failed, or a revision is not known.
    """
    return _migrate(settings, command.downgrade, revision, on_applied)


def check(settings: Settings) -> SchemaStatus:
    """Compare the database's revision with the head. Changes nothing.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        SchemaVersionError: the database has several revisions.
    """
    with own_engine(settings) as engine:
        return _status(engine)


def current(settings: Settings) -> str | None:
    """The revision of the database, or None if it has none. Raises what ``check`` does."""
    return check(settings).current


def pending(settings: Settings) -> tuple[Revision, ...]:
    """The migrations that an upgrade would apply, in order. Raises what ``check`` does."""
    return check(settings).pending


def require_schema(settings: Settings) -> SchemaStatus:
    """Make sure that this version works with the database; ``check_schema`` asks an engine.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        SchemaVersionError: it does not.
    """
    with own_engine(settings) as engine:
        return check_schema_sync(engine)


@contextmanager
def exclusive_connection(settings: Settings) -> Iterator[Connection]:
    """A connection for migrations, while no other runner has one.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: another runner did not end, or a migration failed.
    """
    with own_engine(settings) as engine, _exclusive(engine), engine.connect() as connection:
        yield connection


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
        raise MigrationError(_what(error)) from None
    finally:
        engine.dispose()


def _status(engine: Engine) -> SchemaStatus:
    with engine.connect() as connection:
        return read_status(connection)


@contextmanager
def _exclusive(engine: Engine) -> Iterator[None]:
    """Hold the advisory lock on a connection of its own, for every transaction inside.

    The lock is that of an open transaction: a session's would stay behind on
    PgBouncer's connection to the server. The transaction reads no table and keeps
    no snapshot, so that neither vacuum nor CREATE INDEX CONCURRENTLY waits for it.
    For that its last statement has no parameters: the extended protocol would keep
    the statement, and with it a snapshot, until the next one.

    Those who want the lock ask again and again: a statement that waits would keep
    its snapshot, and a transaction that waits one of PgBouncer's connections.
    """
    with engine.connect() as connection:
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


def _migrate(
    settings: Settings,
    run: Callable[[Config, str], None],
    revision: str,
    on_applied: Callable[[Revision], None] | None,
) -> MigrationResult:
    applied: list[Revision] = []

    def note(script: Script) -> None:
        done = as_revision(script)
        applied.append(done)
        if on_applied is not None:
            on_applied(done)

    with own_engine(settings) as engine, _exclusive(engine):
        status = _status(engine)
        before = status.current
        if status.is_ahead and not (status.is_compatible and revision == "head"):
            message = f"the database is {status}"
            raise MigrationError(message)
        if status.is_ahead or before == (status.head if revision == "head" else revision):
            return MigrationResult(before=before, after=before, applied=())
        failure = _run_patiently(engine, run, revision, note)
        after = _status(engine).current
    if failure is not None:
        stand = f"stopped at revision {after}" if after else "stopped before the first revision"
        message = f"{stand}: {failure}"
        raise MigrationError(message)
    return MigrationResult(before=before, after=after, applied=tuple(applied))


def _run_patiently(
    engine: Engine,
    run: Callable[[Config, str], None],
    revision: str,
    note: Callable[[Script], None],
) -> str | None:
    """Run, and go on from where it stopped while others hold a lock.

    Returns:
        What it failed on, or None.
    """
    failure = None
    for attempt in range(1, _ATTEMPTS + 1):
        if failure is not None:
            longest = min(_LONGEST_PAUSE, 0.05 * 2**attempt)
            time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
        config = alembic_config()
        try:
            with _one_environment, engine.connect() as connection:
                config.attributes |= {"connection": connection, "on_applied": note}
                run(config, revision)
        except CommandError as error:
            return str(error)
        except DBAPIError as error:
            failure = _what(error)
            if sqlstate_of(error) not in _TRANSIENT:
                break
        else:
            return None
    return failure


def _what(error: DBAPIError) -> str:
    state = sqlstate_of(error)
    if state == _LOCKED:  # PostgreSQL ends an autovacuum for who waits a second, which nobody may
        return f"a long transaction or an autovacuum held a table all the time ({state})"
    # Not the whole message: its DETAIL may quote a row.
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return f"{primary or type(error.orig).__name__} ({state or 'no SQLSTATE'})"
