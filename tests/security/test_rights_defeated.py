"""Rights that defeat a guarantee from the side: `db check` names them, `db grants` mends them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.grants import GrantError, apply_grants
from cartsnitch_common.db.owners import FUNCTIONS
from cartsnitch_common.db.roles import SCHEMA_OWNER
from cartsnitch_common.db.signatures import private_functions, signature
from tests.security.conftest import both_ways, execute, run_script

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

OTHERS_FUNCTION = """
    CREATE FUNCTION record_purchase(int) RETURNS int LANGUAGE sql RETURN 1;
    CREATE FUNCTION event_log_keep(int) RETURNS int LANGUAGE sql RETURN 1;
"""


@both_ways
def test_the_owner_gets_all_of_its_own_back(
    at_head: Settings, grant: Callable[[Settings], object]
) -> None:
    """Foreign keys, triggers and the log's days work on rights of the owner on its own objects."""
    apply_grants(at_head)
    execute(
        at_head,
        "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM cartsnitch_owner;"
        "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM cartsnitch_owner;"
        "REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM cartsnitch_owner",
    )
    assert find_drift(at_head)
    grant(at_head)
    assert find_drift(at_head) == ()
    execute(
        at_head,
        "SET ROLE cartsnitch_api; INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer');"
        "INSERT INTO store_locations (store_id, address, city, state, zip)"
        " SELECT id, '1 Main St', 'Lansing', 'MI', '48933' FROM stores;"
        "SET ROLE cartsnitch_receiptwitness; DELETE FROM price_history;"
        "SET ROLE cartsnitch_relay; SELECT event_log_keep('7 days')",
    )


@both_ways
@pytest.mark.parametrize("role", ["cartsnitch_api", "PUBLIC"])
def test_nobody_makes_schemas(
    at_head: Settings, role: str, grant: Callable[[Settings], object]
) -> None:
    """Who makes a schema may trust an extension to it, or hide our tables; it is taken."""
    apply_grants(at_head)
    name = at_head.require_database_url().rpartition("/")[2]
    execute(at_head, f"GRANT CREATE ON DATABASE {name} TO {role}")
    assert find_drift(at_head) == (f"CREATE on DATABASE {name} for {role} is too much",)
    grant(at_head)
    assert find_drift(at_head) == ()


def test_the_owner_may_make_schemas(at_head: Settings) -> None:
    """It may own the database, so it may make something in it; nobody else gets there by that."""
    apply_grants(at_head)
    name = at_head.require_database_url().rpartition("/")[2]
    execute(at_head, f"GRANT CREATE ON DATABASE {name} TO {SCHEMA_OWNER}")
    run_script(at_head)
    assert apply_grants(at_head).taken == ()
    assert find_drift(at_head) == ()
    may = f"SELECT has_database_privilege('{SCHEMA_OWNER}', current_database(), 'CREATE')"
    assert execute(at_head, may) == [(True,)]


@both_ways
def test_another_function_of_the_same_name(
    at_head: Settings, grant: Callable[[Settings], object]
) -> None:
    """It hinders nothing, and does not become the owner's: it would run with its rights."""
    execute(at_head, OTHERS_FUNCTION)
    grant(at_head)
    execute(at_head, "REVOKE EXECUTE ON FUNCTION event_log_keep(interval) FROM cartsnitch_relay")
    assert "EXECUTE on FUNCTION event_log_keep for cartsnitch_relay is missing" in find_drift(
        at_head
    )
    grant(at_head)
    assert find_drift(at_head) == (
        "function event_log_keep(integer): is not part of the schema",
        "function record_purchase(integer): is not part of the schema",
    )
    query = """
        SELECT DISTINCT pg_get_function_arguments(oid) = 'integer', proowner::regrole::text
        FROM pg_proc WHERE proname IN ('record_purchase', 'event_log_keep')
    """
    assert dict(execute(at_head, query)) == {True: "cartsnitch", False: SCHEMA_OWNER}


def test_what_not_everybody_may_call(at_head: Settings) -> None:
    """It is what runs with its owner's rights; each function is known by its whole signature."""
    query = "SELECT proname FROM pg_proc WHERE prosecdef ORDER BY proname"
    assert [name for (name,) in execute(at_head, query)] == private_functions()
    commented = (f"COMMENT ON FUNCTION {signature(name)} IS ''" for name in FUNCTIONS)
    execute(at_head, "; ".join(commented))


def test_a_statement_that_fails_is_an_error_of_ours(at_head: Settings) -> None:
    """A cause that nobody has thought of is one line with PostgreSQL's reason, no traceback."""
    execute(
        at_head,
        "CREATE FUNCTION no() RETURNS event_trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not on a Monday'; END $$;"
        "CREATE EVENT TRIGGER no ON ddl_command_start EXECUTE FUNCTION no()",
    )
    try:
        with pytest.raises(
            GrantError, match=r"^CARTSNITCH_DATABASE_URL: not on a Monday \(P0001\)$"
        ):
            apply_grants(at_head)
    finally:
        execute(at_head, "DROP EVENT TRIGGER no")
