"""${message}

What: TODO
Why: TODO
Phase: TODO expand, migrate or contract
The previous code sees: TODO
"""

# A migration is one idea, and its title a sentence. Delete these lines when done.
#
# The previous release runs on the new schema while a release is rolled out, and
# after it is rolled back. Therefore a change of shape takes three releases:
#   expand    add what the new code needs: nullable columns, defaults, tables,
#             CHECKs as NOT VALID. Nothing that the previous code uses goes away.
#   migrate   fill and validate, in batches, while both codes run.
#   contract  drop what no running code uses any more; never in the release that
#             stops using it. It says which heads still live without it, and
#             versions that know no such head refuse to start:
#               serves = "0014_the_first_head_whose_code_does_not_use_it"
#
# Each migration is a transaction that begins with
#   SET LOCAL lock_timeout = '100ms'       or else its ALTER waits behind a long
#             transaction, and every read of the table waits behind the ALTER.
#             `cartsnitch db upgrade` tries again until the lock is free.
#   SET LOCAL statement_timeout = '60s'    or else a scan holds its lock for long.
#   SET LOCAL standard_conforming_strings = on    or else a backslash is an escape.
# A migrate step that needs longer says so itself, and takes no strong lock:
#   op.execute("SET LOCAL statement_timeout = '30min'")
#
# An index on a table with rows is a migration of its own, outside a transaction
# and therefore without these limits: a lock timeout there leaves an index that
# is INVALID. The runner builds such a one again; IF NOT EXISTS would skip it.
#   with op.get_context().autocommit_block():
#       op.create_index(..., postgresql_concurrently=True)
#   and back: op.drop_index(..., postgresql_concurrently=True, if_exists=True)
#
# Rows are filled in batches, in one statement that commits each and may be run
# again: see the example in src/cartsnitch_common/db/operations.py.
#
# When it is done: ./scripts/generate, for what `cartsnitch db check` compares with,
# and OLDEST_COMPATIBLE in db/revisions.py moves if this version's code needs it.
#
# Literal values only: history does not change when a model or a constant does.
# Names of constraints and indexes go through op.f(), or get their prefix twice.

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

revision = "${up_revision}"
down_revision = ${'"' + down_revision + '"' if isinstance(down_revision, str) else repr(down_revision)}


def upgrade() -> None:
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    ${downgrades if downgrades else "raise NotImplementedError"}
