"""What another program's role passed on of our rights is taken as that role, or named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.grants import GrantError, apply_grants
from tests.security.conftest import Cluster, both_ways, execute, run_script, with_user

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

PASSED_ON = {
    "a table": ("SELECT ON users", "SELECT on users"),
    "a column": ("SELECT (email) ON users", "SELECT (email) on users"),
    "a day of the log": ("SELECT ON event_log_first", "SELECT on event_log_first"),
    "a sequence": (
        "USAGE ON SEQUENCE event_outbox_id_seq",
        "USAGE on SEQUENCE event_outbox_id_seq",
    ),
    "a function": (
        "EXECUTE ON FUNCTION current_prices_refresh",
        "EXECUTE on FUNCTION current_prices_refresh",
    ),
    "the schema": ("CREATE ON SCHEMA public", "CREATE on SCHEMA public"),
    "a parameter": (
        "SET ON PARAMETER session_replication_role",
        "SET on PARAMETER session_replication_role",
    ),
}


@pytest.fixture
def op(at_head: Settings, cluster: Cluster) -> Iterator[str]:
    """A role of another program, without any right on a database that has the expected ones."""
    apply_grants(at_head)
    cluster.user("op")
    yield "op"
    execute(at_head, "DROP OWNED BY op CASCADE; DROP ROLE op")


@both_ways
@pytest.mark.parametrize("what", PASSED_ON)
def test_what_another_passed_on_is_taken(
    at_head: Settings, op: str, what: str, grant: Callable[[Settings], object]
) -> None:
    """It goes from the service and from no one else, and not with the rights of who gave it."""
    given, told = PASSED_ON[what]
    execute(
        at_head,
        f"GRANT {given} TO {op} WITH GRANT OPTION; SET ROLE {op};"
        f"GRANT {given} TO cartsnitch_stickershock",
    )
    assert find_drift(at_head) == (f"{told} for cartsnitch_stickershock is too much",)
    grant(at_head)
    assert find_drift(at_head) == ()
    execute(at_head, f"SET ROLE {op}; GRANT {given} TO cartsnitch_stickershock")
    assert find_drift(at_head), "the other role has kept its own"


@both_ways
@pytest.mark.parametrize("table", ["users", "event_log_first"])
def test_a_right_that_went_from_role_to_role(
    at_head: Settings, op: str, table: str, grant: Callable[[Settings], object]
) -> None:
    """All of it goes that began with a role of ours, whoever passed it on in between."""
    given = f"GRANT SELECT ON {table} TO"
    execute(
        at_head,
        f"{given} cartsnitch_api WITH GRANT OPTION; SET ROLE cartsnitch_api;"
        f"{given} {op} WITH GRANT OPTION; SET ROLE {op}; {given} cartsnitch_relay, PUBLIC",
    )
    grant(at_head)
    assert find_drift(at_head) == ()
    may = f"SELECT has_table_privilege('{op}', '{table}', 'SELECT')"
    assert execute(at_head, may) == [(False,)]


@contextmanager
def made_by_a_maker(cluster: Cluster) -> Iterator[tuple[Settings, Settings]]:
    """A database that a user without superpowers has granted; as superuser, and as that user."""
    cluster.forget_roles()
    cluster.user("a_maker", options="CREATEROLE")
    cluster.user("op")
    settings = Settings.load(database_url=cluster.database(owner="a_maker"))
    url = with_user(settings.require_database_url(), "a_maker")
    maker = Settings.load(database_url=url)
    migrate.upgrade(maker)
    apply_grants(maker)
    yield settings, maker
    execute(settings, "DROP OWNED BY op CASCADE; DROP ROLE op")


def test_who_passed_it_on_is_named(cluster: Cluster) -> None:
    """Where the user may not become who gave a right, the error names that one, both ways."""
    with made_by_a_maker(cluster) as (settings, maker):
        execute(
            settings,
            "GRANT SELECT ON users TO op WITH GRANT OPTION; SET ROLE op;"
            "GRANT SELECT ON users TO cartsnitch_stickershock",
        )
        before = find_drift(settings)
        named = "only op may do this: REVOKE SELECT ON users FROM cartsnitch_stickershock"
        with pytest.raises(GrantError, match=named):
            apply_grants(maker)
        with pytest.raises(psycopg.Error, match=named):
            run_script(maker)
        assert find_drift(settings) == before
        execute(settings, "GRANT op TO a_maker")
        apply_grants(maker)
        assert find_drift(settings) == ()


def test_a_parameter_is_the_superusers(cluster: Cluster) -> None:
    """Who may not take a right on the server is told who may, and nothing is changed."""
    with made_by_a_maker(cluster) as (settings, maker):
        execute(settings, "GRANT SET ON PARAMETER session_replication_role TO PUBLIC")
        before = find_drift(settings)
        with pytest.raises(GrantError, match="only cartsnitch may do this: REVOKE SET"):
            apply_grants(maker)
        assert find_drift(settings) == before
        apply_grants(settings)
        assert find_drift(settings) == ()
