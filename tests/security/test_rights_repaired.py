"""Rights beside those on tables: `db check` names what is wrong, `db grants` mends it."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from psycopg import sql
from typer.testing import CliRunner

from cartsnitch_common.cli.db import DRIFT, app
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.grants import GrantError, apply_grants
from cartsnitch_common.db.role_statements import script
from cartsnitch_common.db.roles import PUBLIC, ROLES, Grant
from tests.security.conftest import Cluster, are_right, execute, run_script, with_user
from tests.security.wrong_rights import WRONGS

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run `cartsnitch db` on a database."""

    def run(settings: Settings, *arguments: str) -> Any:
        monkeypatch.setenv("CARTSNITCH_DATABASE_URL", settings.require_database_url())
        return CliRunner().invoke(app, arguments)

    return run


@pytest.mark.parametrize("wrong", WRONGS)
def test_it_is_named_and_mended(run: Any, at_head: Settings, wrong: str) -> None:
    """`check` tells each in a line, `grants` tells what it did about it, and does it once."""
    statements, told, mended = WRONGS[wrong]
    apply_grants(at_head)
    execute(at_head, statements)
    checked = run(at_head, "check")
    assert checked.output.splitlines() == [f"drift: {line}" for line in told]
    assert checked.exit_code == DRIFT
    changed = [*mended, f"{len(told)} rights changed"]
    assert run(at_head, "grants").output.splitlines() == changed
    assert run(at_head, "check").exit_code == 0
    assert run(at_head, "grants").output == "the rights were right already\n"


@pytest.mark.parametrize("wrong", WRONGS)
def test_the_printed_sql_mends_it(at_head: Settings, wrong: str) -> None:
    """The script of `--sql` brings the same rights, again and again."""
    apply_grants(at_head)
    execute(at_head, WRONGS[wrong].statements)
    assert find_drift(at_head) == WRONGS[wrong].told
    for _ in range(2):
        run_script(at_head)
        assert find_drift(at_head) == ()


def test_a_schema_in_front_of_ours_changes_nothing(at_head: Settings) -> None:
    """Where another schema comes first in the login's path, the rights are those on our tables."""
    execute(at_head, "CREATE SCHEMA other")
    ((name,),) = execute(at_head, "SELECT quote_ident(current_database())")
    execute(at_head, f"ALTER DATABASE {name} SET search_path = other, public")
    apply_grants(at_head)
    execute(at_head, "GRANT SELECT ON users TO PUBLIC")
    assert apply_grants(at_head).taken == (Grant(PUBLIC, "users", "SELECT"),)
    execute(at_head, f"ALTER DATABASE {name} RESET search_path")
    assert are_right(at_head)


def test_the_printed_sql_is_for_public(at_head: Settings) -> None:
    """An operator whose own schema comes first gives the rights on the tables' schema."""
    execute(at_head, "CREATE SCHEMA mine; REVOKE USAGE ON SCHEMA public FROM PUBLIC")
    statements = "; ".join(["SET search_path = mine, public", "BEGIN", *script(), "COMMIT"])
    execute(at_head, statements)
    assert find_drift(at_head) == ()


def test_what_others_have_on_the_log_stays(at_head: Settings, cluster: Cluster) -> None:
    """Another program's role keeps what it was given on a partition, a role and the schema."""
    cluster.user("an_analyst")
    execute(
        at_head,
        "GRANT SELECT ON event_log_first TO an_analyst;GRANT CREATE ON SCHEMA public TO an_analyst",
    )
    apply_grants(at_head)
    execute(at_head, "GRANT cartsnitch_replay TO an_analyst")
    result = apply_grants(at_head)
    assert [str(grant) for grant in result.others] == ["SELECT on event_log_first for an_analyst"]
    assert result.given == result.taken == ()
    assert find_drift(at_head) == ()
    may = """
        SELECT has_table_privilege('an_analyst', 'event_log_first', 'SELECT'),
            has_schema_privilege('an_analyst', 'public', 'CREATE'),
            pg_has_role('an_analyst', 'cartsnitch_replay', 'MEMBER')
    """
    assert execute(at_head, may) == [(True, True, True)]
    execute(at_head, "DROP OWNED BY an_analyst; DROP ROLE an_analyst")


def test_days_that_the_relay_has_made_are_right(at_head: Settings) -> None:
    """The partitions of the next days have the rights of the first ones, without a run."""
    apply_grants(at_head)
    execute(at_head, "SET ROLE cartsnitch_relay; SELECT event_log_keep('7 days')")
    assert find_drift(at_head) == ()
    result = apply_grants(at_head)
    assert result.given == result.taken == ()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (
            "ALTER ROLE cartsnitch_api SUPERUSER",
            "the user may not take SUPERUSER on SERVER for cartsnitch_api",
        ),
        (
            "GRANT pg_read_all_data TO cartsnitch_api",
            "the user may not take MEMBERSHIP on ROLE pg_read_all_data for cartsnitch_api",
        ),
        (
            "ALTER SCHEMA public OWNER TO cartsnitch_api",
            "only another role may change: OWNERSHIP on SCHEMA public for cartsnitch_api",
        ),
    ],
)
def test_what_the_user_may_not_take_is_told(cluster: Cluster, statement: str, named: str) -> None:
    """Where the user lacks the power, the error names the right, and nothing is changed."""
    cluster.forget_roles()
    cluster.user("a_maker", options="CREATEROLE")
    settings = Settings.load(database_url=cluster.database(owner="a_maker"))
    url = with_user(settings.require_database_url(), "a_maker")
    maker = Settings.load(database_url=url)
    migrate.upgrade(maker)
    apply_grants(maker)
    execute(settings, statement)
    execute(settings, "GRANT SELECT ON users TO PUBLIC")
    before = find_drift(settings)
    with pytest.raises(GrantError, match=named):
        apply_grants(maker)
    assert find_drift(settings) == before


def test_no_service_owns_the_database(at_head: Settings) -> None:
    """Its owner may make objects in the schema `public`, and anything else of it."""
    apply_grants(at_head)
    name = at_head.require_database_url().rpartition("/")[2]
    owner = sql.SQL("ALTER DATABASE {} OWNER TO cartsnitch_api").format(sql.Identifier(name))
    execute(at_head, owner.as_string())
    line = f"OWNERSHIP on DATABASE {name} for cartsnitch_api is too much"
    assert find_drift(at_head) == (line,)


def test_names_are_the_same_where_all_are_quoted(at_head: Settings, run: Any) -> None:
    """A database that quotes all identifiers has the same rights, and no drift."""
    name = at_head.require_database_url().rpartition("/")[2]
    execute(at_head, f"ALTER DATABASE {name} SET quote_all_identifiers = on")
    assert json.loads(run(at_head, "grants", "--json").output)["created"] == sorted(ROLES)
    assert run(at_head, "check").exit_code == 0
    assert run(at_head, "grants").output == "the rights were right already\n"


def test_an_installation_without_roles_needs_no_rights(at_head: Settings) -> None:
    """Where the server has the roles for another database, this one misses nothing."""
    with psycopg.connect(at_head.require_database_url(), autocommit=True) as connection:
        for role in ROLES:
            connection.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
    assert find_drift(at_head) == ()
