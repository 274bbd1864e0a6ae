"""The rights that a database grants, and how they become the expected ones."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, Connection, NullPool, Text, bindparam, text
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.db.owners import FUNCTIONS
from cartsnitch_common.db.roles import (
    GRANT_OPTION,
    OWNERSHIP,
    PUBLIC,
    ROLES,
    SCHEMA_OWNER,
    Grant,
    create_roles,
    expected_grants,
    give,
    own_schema,
    table_names,
    take,
)
from cartsnitch_common.db.url import SETTING
from cartsnitch_common.errors import (
    AccessDeniedError,
    SchemaVersionError,
    SettingError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cartsnitch_common.config import Settings

_LOCK: Final = text(f"SELECT pg_advisory_xact_lock({0x6772616E7473})")  # "grants"
_LIMIT: Final = text("SET LOCAL lock_timeout = '200ms'")
_ATTEMPTS: Final = 60
_LONGEST_PAUSE: Final = 1.0  # seconds
_ROLE_CHANGED: Final = "XX000"
"""What PostgreSQL says when a run in another database has changed the same role just now."""

_OBJECTS: Final = """
    WITH ours AS (
        SELECT oid, relowner AS owner, relacl, quote_ident(relname) AS name
        FROM pg_class
        WHERE oid IN (SELECT to_regclass(quote_ident(name)) FROM unnest(:tables) AS name)
    ), owned AS (
        SELECT name, owner, NULL::aclitem[] AS acl FROM ours
        UNION ALL
        SELECT 'FUNCTION ' || quote_ident(proname), proowner, proacl FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname = ANY(:functions)
    )
"""

_ACTUAL: Final = f"""
    {_OBJECTS}, given AS (
        SELECT name, owner, '' AS attname, a.*
        FROM ours, aclexplode(coalesce(relacl, acldefault('r', owner))) a
        UNION ALL
        SELECT name, owner, quote_ident(c.attname), a.*
        FROM ours JOIN pg_attribute c ON c.attrelid = ours.oid, aclexplode(c.attacl) a
        UNION ALL
        SELECT 'SEQUENCE ' || quote_ident(s.relname), owner, '', a.*
        FROM ours
        JOIN pg_depend d ON d.refobjid = ours.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.objid AND d.classid = 'pg_class'::regclass
            AND s.relkind = 'S',
        aclexplode(coalesce(s.relacl, acldefault('s', owner))) a
        UNION ALL
        -- That not everybody may call it is a fact of the schema; see catalog.py.
        SELECT name, owner, '', a.* FROM owned, aclexplode(acl) a WHERE grantee <> 0
    )
    SELECT r.rolname, name, '{OWNERSHIP}', '', false
    FROM owned JOIN pg_roles r ON r.oid = owner
    UNION ALL
    SELECT coalesce(r.rolname, '{PUBLIC}'), name, privilege_type, attname, is_grantable
    FROM given LEFT JOIN pg_roles r ON r.oid = grantee
    WHERE grantee <> owner
"""

_POWER: Final = f"""
    {_OBJECTS}
    SELECT
        (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user),
        (SELECT string_agg(name, ', ' ORDER BY name) FROM owned
            WHERE NOT pg_has_role(owner, 'USAGE'))
"""


class GrantError(SettingError):
    """the rights could not be brought to what they shall be.

    The setting is the database's, because that is what it happened to.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(SETTING, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrantsResult:
    """What a run changed."""

    created: tuple[str, ...]
    """The roles that were missing."""

    given: tuple[Grant, ...]
    """The rights that were missing, ownership among them."""

    taken: tuple[Grant, ...]
    """The rights that were too many."""

    others: tuple[Grant, ...]
    """Rights of roles that are none of this package's, such as a program for backups.

    Somebody gave them on purpose; they are reported and stay."""


def existing_roles(connection: Connection) -> frozenset[str]:
    """Which of the roles of this package the server has."""
    query = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles)")
    query = query.bindparams(bindparam("roles", type_=ARRAY(Text)))
    return frozenset(connection.scalars(query, {"roles": list(ROLES)}))


def actual_grants(connection: Connection) -> frozenset[Grant]:
    """The rights that there are on this package's tables and their sequences.

    The owner of a table is listed with ``OWNERSHIP`` only, and a superuser never.
    """
    grants = set()
    for role, on, privilege, column, grantable in _query(connection, _ACTUAL):
        grants.add(Grant(role, on, privilege, column))
        if grantable:
            grants.add(Grant(role, on, GRANT_OPTION + privilege, column))
    return frozenset(grants)


def find_grant_drift(connection: Connection) -> tuple[str, ...]:
    """Every right that is missing or too much, one line each; empty when there is none.

    A database whose programs all log in as the tables' owner uses no roles, and
    misses none. The rights of other programs' roles are their operator's affair.
    """
    found = _ours(actual_grants(connection))
    in_use = any(grant.role in ROLES for grant in found)
    missing = expected_grants() - found if in_use else frozenset()
    return tuple(
        f"{grant} {'is too much' if grant in found else 'is missing'}"
        for grant in sorted(missing | (found - expected_grants()))
    )


def apply_grants(settings: Settings) -> GrantsResult:
    """Bring the database to the expected rights, in one transaction. May be repeated.

    Roles that are missing are made. When nothing is to change, nothing is written
    and no table is locked. Several may run at once.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        SchemaVersionError: the database is not at head: tables are missing, or are
            a newer version's, whose rights this one would take away.
        GrantError: the connected user may not do what is needed.
    """
    status = migrate.require_schema(settings)
    if not status.is_at_head:
        raise SchemaVersionError(SETTING, f"the rights are those of the head: it is {status}")
    engine = sync_engine(settings, poolclass=NullPool)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with engine.begin() as connection:
                return _apply(connection)
        except TransactionAbortedError:
            pass  # another held a table
        except DBAPIError as error:
            if sqlstate_of(error) != _ROLE_CHANGED:
                raise
        longest = min(_LONGEST_PAUSE, 0.05 * 2**attempt)
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
    raise GrantError("nothing was changed: others hold the tables all the while")


def _apply(connection: Connection) -> GrantsResult:
    connection.execute(_LIMIT)
    connection.execute(_LOCK)
    created = frozenset(ROLES) - existing_roles(connection)
    before = actual_grants(connection)
    _require_power(connection, created)
    if created:
        connection.execute(text(create_roles()))
    _hand_over(connection)
    expected = expected_grants()
    _run(connection, take(_ours(actual_grants(connection)) - expected))
    # Read again: what is taken from a table is taken from its columns as well.
    _run(connection, give(expected - actual_grants(connection)))
    after = actual_grants(connection)
    if _ours(after) != expected:
        left = "; ".join(str(grant) for grant in sorted(_ours(after) ^ expected))
        raise GrantError(f"rights that another role gave cannot be taken: {left}")
    return GrantsResult(
        created=tuple(sorted(created)),
        given=tuple(sorted(expected - before)),
        taken=tuple(sorted(_ours(before) - expected)),
        others=tuple(sorted(after - expected)),
    )


def _ours(grants: frozenset[Grant]) -> frozenset[Grant]:
    return frozenset(grant for grant in grants if grant.role in {PUBLIC, *ROLES})


def _run(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(text(statement))


def _require_power(connection: Connection, missing_roles: frozenset[str]) -> None:
    """Make sure that the user may do it, to say so in better words than PostgreSQL's."""
    ((may_create, not_owned),) = _query(connection, _POWER)
    if missing_roles and not may_create:
        names = ", ".join(sorted(missing_roles))
        raise GrantError(f"the user may not create roles, and these are missing: {names}")
    if not_owned:
        raise GrantError(f"the user does not own {not_owned}")


def _query(connection: Connection, query: str) -> Sequence[Any]:
    names = {"tables": table_names(), "functions": list(FUNCTIONS)}
    typed = (bindparam(name, type_=ARRAY(Text)) for name in names)
    return connection.execute(text(query).bindparams(*typed), names).all()


def _hand_over(connection: Connection) -> None:
    with suppress(AccessDeniedError):
        connection.execute(text(own_schema()))
        return
    raise GrantError(
        f"the user must be a member of {SCHEMA_OWNER}, which needs CREATE in the schema"
    )
