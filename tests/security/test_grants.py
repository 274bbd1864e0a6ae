"""`cartsnitch db grants`: a database is brought to the expected rights, wherever it begins."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import NullPool
from typer.testing import CliRunner

from cartsnitch_common.cli.db import app
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.grants import GrantError, apply_grants
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.owners import FUNCTIONS
from cartsnitch_common.db.revisions import VERSION_TABLE
from cartsnitch_common.db.rights import find_grant_drift
from cartsnitch_common.db.role_statements import script
from cartsnitch_common.db.roles import PUBLIC, ROLES, Grant, expected_grants
from cartsnitch_common.errors import SchemaVersionError
from tests.security.conftest import Cluster, are_right, execute, rights, with_user

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

TOO_MUCH = """
    GRANT SELECT ON users TO PUBLIC;
    GRANT UPDATE (email) ON users TO cartsnitch_shrinkray;
    GRANT TRUNCATE ON stores TO cartsnitch_api WITH GRANT OPTION;
    GRANT SELECT ON event_dead_letters TO cartsnitch_api;
    GRANT USAGE ON SEQUENCE event_outbox_id_seq TO PUBLIC;
"""
TOO_LITTLE = """
    REVOKE SELECT ON stores FROM cartsnitch_clipartist;
    ALTER TABLE coupons OWNER TO CURRENT_USER;
    ALTER FUNCTION current_prices_refresh OWNER TO CURRENT_USER;
"""


def drift(settings: Settings) -> tuple[str, ...]:
    with sync_engine(settings, poolclass=NullPool).connect() as connection:
        return find_grant_drift(connection)


def versions(settings: Settings) -> list[Any]:
    """What changes when a table's or a function's entry in the catalog is written."""
    query = """
        SELECT oid, xmin FROM pg_class WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT oid, xmin FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        UNION ALL SELECT oid, xmin FROM pg_namespace ORDER BY 1
    """
    return execute(settings, query)


def test_the_first_run_makes_everything_and_the_second_nothing(at_head: Settings) -> None:
    """Roles and rights are made once; a run with nothing to do writes nothing at all."""
    result = apply_grants(at_head)
    assert result.created == tuple(sorted(ROLES))
    assert frozenset(result.given) > expected_grants()
    assert are_right(at_head)
    assert result.taken == result.others == ()
    before = versions(at_head)
    result = apply_grants(at_head)
    assert result.created == result.given == result.taken == result.others == ()
    assert versions(at_head) == before


def test_the_roles_cannot_log_in(at_head: Settings) -> None:
    """A role has no password to lose and no power beyond its tables."""
    apply_grants(at_head)
    query = """
        SELECT DISTINCT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls,
            rolreplication FROM pg_roles WHERE rolname LIKE 'cartsnitch\\_%'
    """
    assert execute(at_head, query) == [(False,) * 6]


def test_what_differs_is_put_right(at_head: Settings) -> None:
    """Rights that are too much are taken, those missing are given, and the result tells which."""
    apply_grants(at_head)
    execute(at_head, TOO_MUCH + TOO_LITTLE)
    result = apply_grants(at_head)
    assert set(result.taken) == {
        Grant(PUBLIC, "users", "SELECT"),
        Grant("cartsnitch_shrinkray", "users", "UPDATE", "email"),
        Grant("cartsnitch_api", "stores", "TRUNCATE"),
        Grant("cartsnitch_api", "stores", "GRANT OPTION FOR TRUNCATE"),
        Grant("cartsnitch_api", "event_dead_letters", "SELECT"),
        Grant(PUBLIC, "SEQUENCE event_outbox_id_seq", "USAGE"),
    }
    assert set(result.given) == {
        Grant("cartsnitch_clipartist", "stores", "SELECT"),
        Grant("cartsnitch_owner", "coupons", "OWNERSHIP"),
        Grant("cartsnitch_owner", "FUNCTION current_prices_refresh", "OWNERSHIP"),
    }
    assert are_right(at_head)


def test_a_right_that_was_passed_on_goes_too(at_head: Settings) -> None:
    """What a role has given to others, with a right it should not have, is gone as well."""
    apply_grants(at_head)
    execute(
        at_head,
        "GRANT SELECT ON users TO cartsnitch_relay WITH GRANT OPTION; SET ROLE cartsnitch_relay;"
        "GRANT SELECT ON users TO cartsnitch_stickershock",
    )
    apply_grants(at_head)
    assert are_right(at_head)


def test_what_others_have_stays_and_is_told(at_head: Settings, cluster: Cluster) -> None:
    """Roles, tables, schemas and default rights of other programs are as they were."""
    cluster.user("a_backup")
    theirs = """
        CREATE TABLE theirs (id int); GRANT ALL ON theirs TO PUBLIC, a_backup;
        CREATE FUNCTION users_count() RETURNS bigint LANGUAGE sql RETURN 0;
        GRANT SELECT ON purchases TO a_backup;
        ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO a_backup
    """
    look = """
        SELECT relowner::regrole::text, relacl::text FROM pg_class WHERE relname = 'theirs'
        UNION ALL SELECT proowner::regrole::text, proacl::text FROM pg_proc
            WHERE proname = 'users_count'
        UNION ALL SELECT defaclrole::regrole::text, defaclacl::text FROM pg_default_acl
    """
    execute(at_head, theirs)
    before = execute(at_head, look)
    result = apply_grants(at_head)
    assert result.others == (Grant("a_backup", "purchases", "SELECT"),)
    assert execute(at_head, look) == before
    execute(at_head, "DROP OWNED BY a_backup; DROP ROLE a_backup")


def test_the_printed_sql_does_the_same(at_head: Settings) -> None:
    """The script makes the same rights, from nothing, from what is wrong, and again."""
    statements = "; ".join(["BEGIN", *script(), "COMMIT"])
    for wrong in ("", TOO_MUCH + TOO_LITTLE, ""):
        execute(at_head, wrong)
        execute(at_head, statements)
        assert are_right(at_head)
    assert apply_grants(at_head).given == ()


def test_eight_runs_at_once(at_head: Settings, cluster: Cluster, template: str) -> None:
    """Runs at the same moment, in two databases of one server, all succeed and all is there."""
    other = Settings.load(database_url=cluster.database(template=template))
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(apply_grants, [at_head, other] * 4))
    assert {role for result in results for role in result.created} == set(ROLES)
    assert are_right(at_head)
    assert are_right(other)


def test_readers_do_not_wait(at_head: Settings) -> None:
    """While a long transaction reads every table, a run that only changes rights ends at once."""
    apply_grants(at_head)
    execute(at_head, TOO_MUCH)
    with psycopg.connect(at_head.require_database_url()) as reader:
        for table in Base.metadata.tables:
            reader.execute(f"SELECT FROM {table}")
        assert apply_grants(at_head).taken


def test_a_user_without_superpowers_is_enough(cluster: Cluster) -> None:
    """The owner of a database who may create roles migrates, grants, and migrates on."""
    cluster.forget_roles()
    cluster.user("a_migrator", options="CREATEROLE")
    url = with_user(cluster.database(owner="a_migrator"), "a_migrator")
    settings = Settings.load(database_url=url)
    migrate.upgrade(settings)
    assert apply_grants(settings).created
    migrate.downgrade(settings, "0012_event_inbox")
    migrate.upgrade(settings)
    apply_grants(settings)
    assert are_right(settings)


def test_who_may_not_create_roles_grants_when_they_are_there(cluster: Cluster) -> None:
    """On a managed database the operator makes the roles, and a plain user does the rest."""
    cluster.forget_roles()
    cluster.user("a_plain_user")
    url = with_user(cluster.database(owner="a_plain_user"), "a_plain_user")
    settings = Settings.load(database_url=url)
    migrate.upgrade(settings)
    with pytest.raises(GrantError, match=r"may not create roles.*cartsnitch_api, cartsnitch_cl"):
        apply_grants(settings)
    with psycopg.connect(cluster.url, autocommit=True) as admin:
        for role in ROLES:
            admin.execute(f"CREATE ROLE {role}")
        with pytest.raises(GrantError, match="must be a member of cartsnitch_owner"):
            apply_grants(settings)
        admin.execute("GRANT cartsnitch_owner TO a_plain_user")
    assert apply_grants(settings).created == ()
    assert are_right(settings)


def test_who_does_not_own_the_tables_is_told_so(at_head: Settings, cluster: Cluster) -> None:
    """The error names the tables, and nothing is changed."""
    apply_grants(at_head)
    execute(
        at_head, "GRANT USAGE ON SCHEMA public TO PUBLIC; ALTER TABLE coupons OWNER TO CURRENT_USER"
    )
    cluster.user("a_visitor", role="cartsnitch_owner")
    visitor = Settings.load(database_url=with_user(at_head.require_database_url(), "a_visitor"))
    before = versions(at_head)
    with pytest.raises(GrantError, match="CARTSNITCH_DATABASE_URL: the user does not own coupons"):
        apply_grants(visitor)
    assert versions(at_head) == before


def test_only_a_database_at_head_is_granted(at_head: Settings, cluster: Cluster) -> None:
    """Behind, tables are missing; ahead, rights of the newer version would be taken away."""
    with pytest.raises(SchemaVersionError, match="cartsnitch db upgrade"):
        apply_grants(Settings.load(database_url=cluster.database()))
    execute(
        at_head,
        f"COMMENT ON TABLE {VERSION_TABLE} IS 'serves {migrate.heads()[0]} and later';"
        f"UPDATE {VERSION_TABLE} SET version_num = '9999_later'",
    )
    with pytest.raises(SchemaVersionError, match="older than the database"):
        apply_grants(at_head)
    assert rights(at_head).found.isdisjoint(expected_grants())


def test_drift_is_named(at_head: Settings) -> None:
    """No roles, no drift; with them, each right that is missing or too much is one line."""
    assert drift(at_head) == ()
    apply_grants(at_head)
    assert drift(at_head) == ()
    execute(at_head, TOO_MUCH + TOO_LITTLE)
    lines = drift(at_head)
    assert "SELECT on users for PUBLIC is too much" in lines
    assert "SELECT on stores for cartsnitch_clipartist is missing" in lines
    assert "UPDATE (email) on users for cartsnitch_shrinkray is too much" in lines
    assert len(lines) == 9


def test_drift_of_public_is_found_without_roles(at_head: Settings) -> None:
    """What everybody may is drift also where no service has a role."""
    execute(at_head, "GRANT SELECT ON users TO PUBLIC")
    assert drift(at_head) == ("SELECT on users for PUBLIC is too much",)


def test_every_function_is_listed_and_safe(at_head: Settings) -> None:
    """A function that runs as its owner has a fixed search path, and not everybody may call it."""
    query = """
        SELECT proname, NOT prosecdef OR proconfig @> ARRAY['search_path=""']
            AND NOT EXISTS (SELECT FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                WHERE grantee = 0)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """
    functions = dict(execute(at_head, query))
    assert functions.keys() == set(FUNCTIONS)
    assert all(functions.values()), functions


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(url: str, *arguments: str) -> Any:
        monkeypatch.setenv("CARTSNITCH_DATABASE_URL", url)
        return CliRunner().invoke(app, ["grants", *arguments])

    return run


def test_the_command_shows_each_change(run: Any, at_head: Settings) -> None:
    """An operator sees what was made, given and taken; a second run says that all was right."""
    url = at_head.require_database_url()
    lines = run(url).output.splitlines()
    assert lines[0] == "CREATE ROLE cartsnitch_api NOLOGIN"
    assert "cartsnitch_owner owns users now" in lines
    assert "GRANT SELECT ON stores TO cartsnitch_shrinkray" in lines
    let_in = len(ROLES)  # into the schema, as everybody is
    assert lines[-1] == f"{len(rights(at_head).required) - let_in} rights changed"
    execute(at_head, "GRANT SELECT ON users TO PUBLIC")
    assert run(url).output == "REVOKE SELECT ON users FROM PUBLIC CASCADE\n1 rights changed\n"
    done = run(url)
    assert (done.exit_code, done.output) == (0, "the rights were right already\n")


def test_the_command_tells_machines(run: Any, at_head: Settings) -> None:
    """With --json the only output is one object."""
    answer = json.loads(run(at_head.require_database_url(), "--json").output)
    assert answer["created"] == sorted(ROLES)
    assert answer["given"][0] == {
        "role": "cartsnitch_api",
        "on": "alembic_version_cartsnitch",
        "privilege": "SELECT",
        "column": "",
    }
    assert answer["taken"] == answer["others"] == []


def test_the_command_prints_sql_without_a_database(run: Any) -> None:
    """--sql needs no setting and connects to nothing."""
    done = run("", "--sql")
    lines = done.output.splitlines()
    assert (done.exit_code, lines[0], lines[-1]) == (0, "BEGIN;", "COMMIT;")
    assert "GRANT INSERT ON event_outbox TO cartsnitch_shrinkray;" in lines
    assert json.loads(run("", "--sql", "--json").output) == {"statements": script()}
