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
from typing import TYPE_CHECKING, Any, Final

from alembic import command
from alembic.runtime.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, NullPool, text
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db.engine import check_database_sync, sync_engine
from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.db.revisions import (
    Revision,
    SchemaStatus,
    alembic_config,
    as_revision,
    heads,
    status_of,
)
from cartsnitch_common.db.url import SETTING
from cartsnitch_common.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alembic.config import Config

    from cartsnitch_common.config import Settings

__all__ = [
    "MigrationError",
    "MigrationResult",
    "Revision",
    "SchemaStatus",
    "check",
    "current",
    "downgrade",
    "exclusive_connection",
    "heads",
    "pending",
    "require_schema",
    "upgrade",
]

VERSION_TABLE: Final = "alembic_version_cartsnitch"
"""Not Alembic's own name: another program in the database may use that."""

LOCK_WAIT: Final = 600.0
"""How long a run waits for another one to end. Unit: seconds."""

_LOCK_KEY: Final = 0x6361727473  # "carts"; an advisory lock is one database's
_POLL: Final = 0.1  # seconds
_ATTEMPTS: Final = 60
_LONGEST_PAUSE: Final = 1.0  # seconds
_TRANSIENT: Final = frozenset({"40P01", "55P03"})  # deadlock, lock not available

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


def current(settings: Settings) -> str | None:
    """The revision of the database, or None if it has none.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: it has several.
    """
    with _own_engine(settings) as engine:
        return _current(engine)


def pending(settings: Settings) -> tuple[Revision, ...]:
    """The migrations that an upgrade would apply, in order."""
    return check(settings).pending


def check(settings: Settings) -> SchemaStatus:
    """Compare the database's revision with the head. Changes nothing.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: the database has several revisions.
    """
    return status_of(current(settings))


def require_schema(settings: Settings) -> None:
    """Make sure that the database has what this version needs. It may be ahead.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: the database is behind.
    """
    missing = len(pending(settings))
    if missing:
        message = f"the database is behind by {missing} migrations: run `cartsnitch db upgrade`"
        raise MigrationError(message)


@contextmanager
def exclusive_connection(settings: Settings) -> Iterator[Connection]:
    """A connection for migrations, while no other runner has one.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: another runner did not end, or a migration failed.
    """
    with _own_engine(settings) as engine, _exclusive(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _own_engine(settings: Settings) -> Iterator[Engine]:
    unlimited = settings.model_copy(update={"database_statement_timeout": 0.0})
    check_database_sync(unlimited)
    engine = sync_engine(unlimited, poolclass=NullPool)
    try:
        yield engine
    except DBAPIError as error:
        raise MigrationError(_what(error)) from None
    finally:
        engine.dispose()


def _current(engine: Engine) -> str | None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        revisions = context.get_current_heads()
    if len(revisions) > 1:
        message = f"{VERSION_TABLE} holds more than one revision: {', '.join(revisions)}"
        raise MigrationError(message)
    return revisions[0] if revisions else None


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

    def note(*, step: Any, **_: Any) -> None:
        done = as_revision(step.up_revision)
        applied.append(done)
        if on_applied is not None:
            on_applied(done)

    with _own_engine(settings) as engine, _exclusive(engine):
        before = _current(engine)
        status = status_of(before)
        if status.is_ahead:
            message = f"the database is at revision {before}, which this version does not know"
            raise MigrationError(message)
        if before == (status.head if revision == "head" else revision):
            return MigrationResult(before=before, after=before, applied=())
        failure = _run_patiently(engine, run, revision, note)
        after = _current(engine)
    if failure is not None:
        stand = f"stopped at revision {after}" if after else "stopped before the first revision"
        message = f"{stand}: {failure}"
        raise MigrationError(message)
    return MigrationResult(before=before, after=after, applied=tuple(applied))


def _run_patiently(
    engine: Engine, run: Callable[[Config, str], None], revision: str, note: Callable[..., None]
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
                config.attributes |= {"connection": connection, "on_version_apply": note}
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
    # Not the whole message: its DETAIL may quote a row.
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return f"{primary or type(error.orig).__name__} ({sqlstate_of(error) or 'no SQLSTATE'})"
