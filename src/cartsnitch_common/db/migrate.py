"""Brings a database to a revision of the schema, however many try at once."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.db.revisions import (
    VERSION_TABLE,
    Revision,
    SchemaStatus,
    alembic_config,
    as_revision,
    check_schema,
    check_schema_sync,
    find_revision,
    heads,
    read_status,
)
from cartsnitch_common.db.runner import (
    LOCKED,
    MigrationError,
    exclusive,
    exclusive_connection,
    own_engine,
    reason_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config
    from alembic.script import Script
    from sqlalchemy import Engine

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

_ATTEMPTS: Final = 60
_LONGEST_PAUSE: Final = 1.0  # seconds
# A deadlock; and a batch that met a writer where a pooler kept the level of isolation off it.
_TRANSIENT: Final = frozenset({"40P01", "40001", LOCKED})

# Alembic keeps the environment that runs in globals of its modules.
_one_environment: Final = threading.Lock()


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
        revision: Its id, or enough of its beginning, or ``head``.
        on_applied: Called after each migration.

    Raises:
        InvalidFieldError: this version knows no such revision.
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: a migration failed and was rolled back, those before it
            stay; or the revision of the database is not known.
    """
    return _migrate(settings, command.upgrade, find_revision(revision, "head"), on_applied)


def downgrade(
    settings: Settings, revision: str, *, on_applied: Callable[[Revision], None] | None = None
) -> MigrationResult:
    """Take migrations back, down to a revision or to ``base``, with the data they hold.

    Raises:
        InvalidFieldError: this version knows no such revision.
        SettingError: the database's address is not set, or it cannot be used.
        MigrationError: a migration failed, or the revision of the database is not known.
    """
    return _migrate(settings, command.downgrade, find_revision(revision, "base"), on_applied)


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


def _status(engine: Engine) -> SchemaStatus:
    with engine.connect() as connection:
        return read_status(connection)


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

    with own_engine(settings) as engine, exclusive(engine):
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
            failure = reason_of(error)
            if sqlstate_of(error) not in _TRANSIENT:
                break
        else:
            return None
    return failure
