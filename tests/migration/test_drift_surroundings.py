"""`cartsnitch db check` finds what is wrong around the tables: where revisions are, in settings."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from cartsnitch_common.db.drift import differences
from cartsnitch_common.db.revisions import VERSION_TABLE as TABLE

# What somebody does to the table of the migrations, and the lines that tell of it.
DRIFTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "revisions that are not written": (
        f"CREATE RULE mine AS ON UPDATE TO {TABLE} DO INSTEAD NOTHING",
        (f"rule {TABLE}.mine: is not part of the schema",),
    ),
    "revisions that a policy hides": (
        f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY",
        (f'table {TABLE}: row_security is "on", not nothing',),
    ),
    "room for several revisions": (
        f"ALTER TABLE {TABLE} DROP CONSTRAINT {TABLE}_pkc",
        (
            f"constraint {TABLE}.{TABLE}_pkc: is missing",
            f"index {TABLE}.{TABLE}_pkc: is missing",
        ),
    ),
    "a column beside the revision": (
        f"ALTER TABLE {TABLE} ADD at timestamptz DEFAULT now()",
        (f"column {TABLE}.at: is not part of the schema",),
    ),
    "revisions that are told wrong": (
        f"COMMENT ON TABLE {TABLE} IS 'serves 0001_stores and later'",
        (f'table {TABLE}: comment is "serves 0001_stores and later", not nothing',),
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_changed_version_table_is_named(connection: Connection, drift: str) -> None:
    """The next migration, or the check of the one after, would be wrong of it."""
    statements, told = DRIFTS[drift]
    connection.exec_driver_sql(statements)
    assert differences(connection) == told
