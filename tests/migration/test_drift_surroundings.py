"""`cartsnitch db check` finds what is wrong around the tables: where revisions are, in settings."""

from __future__ import annotations

import psycopg
import pytest
from sqlalchemy import Connection, text

from cartsnitch_common.config import Settings
from cartsnitch_common.constants import Service
from cartsnitch_common.db.drift import differences, find_drift
from cartsnitch_common.db.revisions import VERSION_TABLE as TABLE
from cartsnitch_common.db.role_statements import script
from cartsnitch_common.db.roles import role_of
from cartsnitch_common.values.ids import new_uuid

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


SETTING = "setting session_replication_role"
SAID = 'is "replica", so that no trigger runs and no foreign key is checked'


def test_triggers_that_are_off_in_each_session_are_named(at_head: Settings) -> None:
    """Where the database says so, or the server or a URL; ``local`` switches off nothing."""
    url = at_head.require_database_url()
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:

        def set_to(value: str) -> None:
            statement = f"ALTER DATABASE {name} SET session_replication_role = '{value}'"
            connection.execute(statement)  # type: ignore[arg-type]

        set_to("replica")
        assert find_drift(at_head) == (f"{SETTING} for the database {name} {SAID}",)
        set_to("local")
        assert find_drift(at_head) == ()
        asks = Settings.load(database_url=f"{url}?options=-csession_replication_role%3Dreplica")
        assert find_drift(asks) == (f"{SETTING} for this session {SAID}",)


def test_triggers_that_are_off_for_a_service_are_named(connection: Connection) -> None:
    """Of each login that is a member of a service's role; those of others are theirs."""
    login, other = f"login_{new_uuid().hex}", f"other_{new_uuid().hex}"
    for each in (login, other):
        connection.exec_driver_sql(
            f"CREATE ROLE {each} LOGIN; ALTER ROLE {each} SET session_replication_role = REPLICA"
        )
    assert differences(connection) == ()
    for statement in script():
        connection.execute(text(statement))
    assert differences(connection) == ()
    connection.exec_driver_sql(f"GRANT {role_of(Service.API)} TO {login}")
    assert differences(connection) == (f"{SETTING} for {login} {SAID}",)
