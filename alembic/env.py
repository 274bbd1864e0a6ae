"""Runs the migrations, on migrate.py's connection or on one of its own.

`cartsnitch db upgrade` hands over a connection and is what operators use. The
command `alembic` works in the repository, for those who write migrations: it
reads CARTSNITCH_DATABASE_URL and, in the same way, lets one runner in at a time.
"""

from __future__ import annotations

from contextlib import suppress
from logging.config import fileConfig
from typing import TYPE_CHECKING, Any

from alembic import context
from alembic.script import Script
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import in_autocommit
from cartsnitch_common.db.migrate import exclusive_connection
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.operations import LIFT, LIMITS, RESTORE, SCRIPT
from cartsnitch_common.db.revisions import VERSION_TABLE, note_served, served_by
from cartsnitch_common.errors import CartsnitchError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from alembic.runtime.migration import MigrationContext, MigrationInfo
    from sqlalchemy import Connection


def owned(name: str | None, kind: str, _parents: Mapping[Any, str | None]) -> bool:
    """Whether autogenerate may look at it: other programs use the database too."""
    return kind != "table" or name in Base.metadata.tables


def begin(connection: Connection) -> None:
    """Set the limits of one migration; each is a transaction. A step outside of one has none."""
    connection.exec_driver_sql(LIFT if in_autocommit(connection) else LIMITS)


def end(connection: Connection) -> None:
    """Leave a session as it was, also if a step outside a transaction has failed."""
    if in_autocommit(connection):
        with suppress(DBAPIError):  # the step's own error is the one to tell
            connection.exec_driver_sql(RESTORE)


def note(
    ctx: MigrationContext, step: MigrationInfo, heads: Collection[Any], run_args: Mapping[str, Any]
) -> None:
    """Write down which versions the schema serves, and tell who called of the revision."""
    del run_args  # Alembic passes all by name
    script = step.up_revision
    if isinstance(script, Script) and served_by(script):
        ctx.execute(note_served(next(iter(heads), None)))
    if tell := context.config.attributes.get("on_applied"):
        tell(script)


def configure(**options: Any) -> None:
    """Say what is the same for every way to run."""
    context.configure(
        target_metadata=Base.metadata,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        include_name=owned,
        compare_type=True,
        compare_server_default=True,
        on_version_apply=note,
        cartsnitch_migrations=True,  # what operations.py adds
        **options,
    )


def run_on(connection: Connection) -> None:
    """Run what was asked for on a connection that is in no transaction."""
    listeners = (("begin", begin), ("commit", end))
    for name, listener in listeners:
        event.listen(connection, name, listener)
    try:
        configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        for name, listener in listeners:
            event.remove(connection, name, listener)


def run_alone() -> None:
    """Run what the command `alembic` was asked for."""
    if context.config.config_file_name is not None:
        fileConfig(context.config.config_file_name, disable_existing_loggers=False)
    try:
        with exclusive_connection(Settings.load()) as connection:
            run_on(connection)
    except CartsnitchError as error:
        message = str(error)
    else:
        return
    raise CommandError(message)


def print_sql() -> None:
    """Write the SQL of `alembic upgrade --sql`."""
    configure(dialect_name="postgresql", literal_binds=True, dialect_opts={"paramstyle": "named"})
    context.get_context().impl.static_output(f"{SCRIPT};")
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    print_sql()
elif given := context.config.attributes.get("connection"):
    run_on(given)
else:
    run_alone()
