"""What migrations may say, and what the runner adds to it.

A revision is plain Alembic; importing this module, as alembic/env.py does, makes
its concurrent indexes safe to repeat. Nothing else changes, and nothing at all
for another program's migrations in the same process.

An index on a table that has rows is a revision of its own::

    def upgrade() -> None:
        with op.get_context().autocommit_block():
            op.create_index(
                op.f("ix_coupons_valid"),
                "coupons",
                ["valid_from", "valid_to"],
                postgresql_concurrently=True,
            )

    def downgrade() -> None:
        with op.get_context().autocommit_block():
            op.drop_index(
                op.f("ix_coupons_valid"),
                "coupons",
                postgresql_concurrently=True,
                if_exists=True,
            )

Filling a column or a table that has many rows is a revision of its own as well.
It commits in batches, each short, so that no writer waits long for a row; it
writes only what is still missing, so that it may be killed and run again; and as
one statement it works through PgBouncer and in ``alembic upgrade --sql``::

    with op.get_context().autocommit_block():
        op.execute(
            "DO $$ BEGIN LOOP"
            "   UPDATE coupons SET kind = 'paper' WHERE id IN ("
            "     SELECT id FROM coupons WHERE kind IS NULL LIMIT 5000 FOR UPDATE SKIP LOCKED);"
            "   EXIT WHEN NOT FOUND;"
            "   COMMIT;"
            " END LOOP; END $$"
        )
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import text
from sqlalchemy.schema import DropIndex

if TYPE_CHECKING:
    from sqlalchemy import Index

__all__ = ["LIFT", "LIMITS", "RESTORE", "SCRIPT", "PatientPostgresql"]

LIMITS: Final = (
    "SET LOCAL lock_timeout = '100ms'; SET LOCAL statement_timeout = '60s';"
    " SET LOCAL standard_conforming_strings = on"
)
"""What each transaction of a migration begins with. A lock not granted is tried for again.

Where backslashes in strings are set to be escapes, other functions and CHECKs would be made.
"""

_OPTION: Final = "cartsnitch_migrations"  # of context.configure, in alembic/env.py

_OUTSIDE: Final = (
    "pg_settings JOIN (VALUES ('lock_timeout', '0'), ('statement_timeout', '0'),"
    " ('default_transaction_isolation', 'read committed'),"
    " ('standard_conforming_strings', 'on')) AS needed (name, value) USING (name)"
)

LIFT: Final = f"SELECT set_config(name, value, false) FROM {_OUTSIDE} WHERE setting <> value"
"""What comes before a step outside a transaction, which must not be broken off.

A concurrent build that a limit ends while it waits for others leaves an INVALID index, and a
backfill that commits in batches begins each of them at the default level of isolation.
Without a limit or a level of the server, the database or the role it changes nothing. Behind
PgBouncer in transaction mode it may reach another session than the step does: give
the role that migrates no limits there.
"""

RESTORE: Final = (
    f"SELECT set_config(name, reset_val, false) FROM {_OUTSIDE} WHERE setting <> reset_val"
)
"""What comes after such a step."""

SCRIPT: Final = f"SET search_path = public; {LIFT}"
"""What a script of migrations begins with; its steps outside a transaction need nothing more.

A run is refused where another schema comes first. A script cannot be: psql goes on after an
error, and would leave half of the tables there.
"""

_IS_VALID: Final = text(
    "SELECT i.indisvalid FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid"
    " WHERE i.indrelid = to_regclass(:table) AND x.relname = :name"
)


class PatientPostgresql(PostgresqlImpl):
    """Alembic's PostgreSQL, whose concurrent indexes heal.

    A build that was killed, or that met a duplicate, leaves an index that is
    INVALID: every write pays for it, no query uses it, and IF NOT EXISTS skips
    it. The next run drops it and builds it again. One that is whole, because the
    run was killed between the build and the note that it is done, is kept.
    """

    __dialect__ = "postgresql"

    def emit_begin(self) -> None:
        """Begin a transaction of a script, with the limits that a run has as well."""
        super().emit_begin()
        if self.context_opts.get(_OPTION):
            self.static_output(f"{LIMITS};")

    def create_index(self, index: Index, **kw: Any) -> None:
        """Make an index; a concurrent one may have been begun by a run that was killed."""
        ours = self.context_opts.get(_OPTION) and index.kwargs.get("postgresql_concurrently")
        if not ours or self.as_sql or self.connection is None:
            super().create_index(index, **kw)
            return
        names = {"table": str(index.table), "name": index.name}
        is_valid = self.connection.scalar(_IS_VALID, names)
        if is_valid is False:
            self._exec(DropIndex(index, if_exists=True))
        if not is_valid:
            super().create_index(index, **kw)
