"""Every right of every role on every table, tried by a user of the role on a live server."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from cartsnitch_common.db.roles import ROLES
from tests.rows import Rows
from tests.security.conftest import STRANGER

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

OWNERS = {
    "users": "api",
    "stores": "api",
    "store_locations": "api",
    "user_store_accounts": "receiptwitness",
    "purchases": "receiptwitness",
    "purchase_items": "receiptwitness",
    "normalized_products": "receiptwitness",
    "product_names": "receiptwitness",
    "price_history": "receiptwitness",
    "coupons": "clipartist",
    "shrinkflation_events": "shrinkray",
    "event_outbox": "relay",
    "event_log": "relay",
    "event_inbox": "relay",
    "event_dead_letters": "relay",
}
"""Who selects, inserts, updates and deletes, as the platform's design has it."""

SERVICES = {"api", "receiptwitness", "stickershock", "shrinkray", "clipartist"}
BESIDES = {
    ("SELECT", "stores"): SERVICES,
    ("SELECT", "store_locations"): SERVICES,
    ("SELECT", "normalized_products"): SERVICES,
    ("SELECT", "product_names"): SERVICES,
    ("SELECT", "current_prices"): {"receiptwitness"},  # written by triggers only
    ("SELECT", "event_inbox"): SERVICES,
    ("INSERT", "event_inbox"): SERVICES,
    ("INSERT", "event_dead_letters"): SERVICES,
    ("SELECT", "event_dead_letters.id"): SERVICES,
    ("SELECT", "event_log"): {"replay"},
    ("INSERT", "event_outbox"): SERVICES - {"api"},  # which publishes nothing
    ("SELECT", "alembic_version_cartsnitch"): SERVICES | {"relay", "replay"},
}
"""Who has a right besides the owner, or without one."""

PARTITIONS = {"event_log_first", "event_log_default"}
"""Of event_log; who works on the log reaches them by it, and nobody but the owner else."""

PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
OWNERS_PRIVILEGES = PRIVILEGES[:4]
BY_COLUMN = PRIVILEGES[:3]


def allowed(role: str | None, privilege: str, table: str, column: str) -> bool:
    """What the design says of a cell, without the code that grants it."""
    if role == "owner" or (OWNERS.get(table, "nobody") == role and privilege in OWNERS_PRIVILEGES):
        return True
    named = BESIDES.get((privilege, table), set()) | BESIDES.get(
        (privilege, f"{table}.{column}"), set()
    )
    return role in named


def columns_of(url: str) -> dict[str, dict[str, tuple[str, int | None]]]:
    """Of each table the columns: their types, and their places in the primary key."""
    query = """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
            array_position(k.conkey, a.attnum)
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY c.relname, a.attnum
    """
    found: dict[str, dict[str, tuple[str, int | None]]] = {}
    with psycopg.connect(url) as connection:
        for table, column, kind, key in connection.execute(query):
            found.setdefault(table, {})[column] = (kind, key)
    return found


def attempt(privilege: str, table: str, column: str, columns: dict[str, Any], schema: str) -> str:
    """A statement that needs one right and no other."""
    keys = sorted((place, name, kind) for name, (kind, place) in columns.items() if place)
    names = ", ".join(name for _, name, _ in keys)
    typed = ", ".join(f"{name} {kind}" for _, name, kind in keys)
    return {
        "SELECT": f"SELECT {column} FROM {table} LIMIT 0",
        "INSERT": f"INSERT INTO {table} ({column}) VALUES (DEFAULT)",
        "UPDATE": f"UPDATE {table} SET {column} = DEFAULT",
        "DELETE": f"DELETE FROM {table}",
        "TRUNCATE": f"TRUNCATE {table}",
        "REFERENCES": f"CREATE TABLE {schema}.probe ({typed},"
        f" FOREIGN KEY ({names}) REFERENCES {table})",
        "TRIGGER": f"CREATE TRIGGER probe BEFORE UPDATE ON {table} FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    }[privilege]


def may(connection: psycopg.Connection[Any], statement: str) -> bool:
    """Whether the user has the right; another error than the lack of it is a yes."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except InsufficientPrivilege:  # SQLSTATE 42501
        return False
    except psycopg.IntegrityError:
        return True  # a required column was left out
    except psycopg.errors.FeatureNotSupported:
        return True  # TRUNCATE of a parent
    return True


@pytest.mark.parametrize("role", [*ROLES, None])
def test_each_right_is_there_or_refused_with_42501(
    granted: str, connect: Any, role: str | None
) -> None:
    """A role may do what the design gives it, column by column, and nothing else."""
    short = role.removeprefix("cartsnitch_") if role else None
    wanted, found = {}, {}
    with connect(role) as connection:
        schema = f"login_{role}" if role else STRANGER
        for table, columns in columns_of(granted).items():
            for privilege in PRIVILEGES:
                for column in columns if privilege in BY_COLUMN else [""]:
                    cell = (privilege, table, column)
                    wanted[cell] = allowed(short, *cell)
                    statement = attempt(privilege, table, column, columns, schema)
                    found[cell] = may(connection, statement)
    assert len(found) > 300
    assert {cell: yes for cell, yes in found.items() if yes != wanted[cell]} == {}


def test_the_matrix_has_every_table(granted: str) -> None:
    """No table is without an owner above, and no partition is left out."""
    assert columns_of(granted).keys() == OWNERS.keys() | PARTITIONS | {
        "alembic_version_cartsnitch",
        "current_prices",
    }


@pytest.mark.parametrize("role", [*ROLES, None])
def test_no_role_is_more_than_itself(granted: str, connect: Any, role: str | None) -> None:
    """Nobody may become another role or make one; only the owner makes objects in the schema."""
    name = f"login_{role}" if role else STRANGER
    with connect(role) as connection:
        become = {other for other in ROLES if may(connection, f"SET ROLE {other}")}
        assert become == ({role} if role else set())
        assert not may(connection, "CREATE ROLE probe")
        makes = may(connection, "CREATE TABLE public.probe (id int)")
        assert makes == (role == "cartsnitch_owner")
    with psycopg.connect(granted) as admin:
        query = """
            SELECT r.rolname FROM pg_roles r
            WHERE pg_has_role(%(name)s, r.oid, 'MEMBER') AND r.rolname <> %(name)s
        """
        member_of = {other for (other,) in admin.execute(query, {"name": name}).fetchall()}
        assert member_of == ({role} if role else set())


def test_session_data_is_read_by_one_role(connect: Any) -> None:
    """The sessions are ReceiptWitness's, the password hashes the API's, and nobody else's."""
    readers: dict[str, list[str | None]] = {}
    for role in (*ROLES, None):
        with connect(role) as connection:
            for column in ("session_data FROM user_store_accounts", "hashed_password FROM users"):
                if may(connection, f"SELECT {column}"):
                    readers.setdefault(column.split(" ", maxsplit=1)[0], []).append(role)
    assert readers == {
        "session_data": ["cartsnitch_owner", "cartsnitch_receiptwitness"],
        "hashed_password": ["cartsnitch_owner", "cartsnitch_api"],
    }


@pytest.mark.parametrize("role", [*ROLES, None])
def test_sequences_and_functions_are_out_of_reach(connect: Any, role: str | None) -> None:
    """Nobody but the owner draws ids of the outbox, or calls what runs with the owner's rights."""
    with connect(role) as connection:
        answers = {
            may(connection, "SELECT nextval('event_outbox_id_seq')"),
            may(connection, "SELECT current_prices_refresh(NULL, NULL)"),
        }
        assert answers == {role == "cartsnitch_owner"}


@pytest.mark.parametrize("table", sorted(OWNERS))
def test_an_owner_writes_its_table(granted: str, connect: Any, table: str) -> None:
    """Defaults, CHECKs, foreign keys and triggers need no more than the owner has."""
    name = sql.Identifier(table)
    with psycopg.connect(granted) as admin, connect(f"cartsnitch_{OWNERS[table]}") as service:
        everything = Rows(admin)
        everything.add(table)  # and the rows that it needs, of other owners
        admin.execute(sql.SQL("DELETE FROM {}").format(name))
        admin.commit()
        try:
            rows = Rows(service)
            rows._shared = everything._shared
            rows.add(table)
            column = sql.Identifier(settable_column(admin, table))
            change = sql.SQL("UPDATE {} SET {column} = {column}").format(name, column=column)
            assert service.execute(change).rowcount == 1
            assert service.execute(sql.SQL("DELETE FROM {}").format(name)).rowcount == 1
            service.commit()
        finally:
            service.close()
            listed = sql.SQL(", ").join(map(sql.Identifier, OWNERS))
            admin.execute(sql.SQL("TRUNCATE {} CASCADE").format(listed))


def settable_column(connection: psycopg.Connection[Any], table: str) -> str:
    """A column of a table that an UPDATE may set."""
    query = """
        SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0
            AND attidentity = '' AND attgenerated = '' ORDER BY attnum LIMIT 1
    """
    (found,) = connection.execute(query, [table]).fetchall()
    return str(found[0])
