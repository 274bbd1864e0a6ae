"""The rights that a database grants, read from its catalog, beside those that it shall grant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ARRAY, Text, bindparam, text

from cartsnitch_common.db.owners import FUNCTIONS
from cartsnitch_common.db.roles import (
    ATTRIBUTES,
    DEFAULT_TABLES,
    GRANT_OPTION,
    MEMBERSHIP,
    OWNERSHIP,
    PARAMETER,
    PUBLIC,
    ROLES,
    SCHEMA_OWNER,
    SERVER,
    Grant,
    expected_grants,
    table_names,
)
from cartsnitch_common.db.signatures import FUNCTION, public_functions, signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_OBJECTS: Final = """
    WITH RECURSIVE ours AS (
        SELECT oid, relowner AS owner, relacl, quote_ident(relname) AS name, false AS is_partition
        FROM pg_class
        WHERE oid IN (SELECT to_regclass(quote_ident(name)) FROM unnest(:tables) AS name)
        UNION ALL
        SELECT c.oid, c.relowner, c.relacl, c.oid::regclass::text, true
        FROM ours JOIN pg_inherits ON inhparent = ours.oid
        JOIN pg_class c ON c.oid = inhrelid AND c.relispartition
    ), objects AS (
        SELECT name, owner, relacl AS acl, 'r'::"char" AS kind FROM ours
        UNION ALL
        SELECT 'SEQUENCE ' || quote_ident(s.relname), owner, s.relacl, 's'
        FROM ours
        JOIN pg_depend d ON d.refobjid = ours.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.objid AND d.classid = 'pg_class'::regclass
            AND s.relkind = 'S'
        UNION ALL
        SELECT 'FUNCTION ' || quote_ident(proname), proowner, proacl, 'f' FROM pg_proc p
        WHERE pronamespace = current_schema()::regnamespace
        AND format('%s(%s)', proname, pg_get_function_identity_arguments(p.oid)) = ANY(:functions)
    )
"""

_ON_TABLES: Final = f"""
    SELECT r.rolname, name, '{OWNERSHIP}', '', false, false
    FROM objects JOIN pg_roles r ON r.oid = owner WHERE kind <> 's'
    UNION ALL
    SELECT coalesce(r.rolname, '{PUBLIC}'), name, privilege_type, attname, is_grantable, false
    FROM given LEFT JOIN pg_roles r ON r.oid = grantee
    WHERE grantee <> owner
    UNION ALL
    SELECT '{SCHEMA_OWNER}', name, '{OWNERSHIP}', '', false, true FROM ours WHERE is_partition
    UNION ALL
    -- What an owner has of itself can be taken from it, and foreign keys are checked with it.
    SELECT '{SCHEMA_OWNER}', name, o.privilege_type, '', false, true
    FROM objects, aclexplode(acldefault(kind, owner)) o
    WHERE o.grantee = owner AND acl IS NOT NULL AND NOT EXISTS (
        SELECT FROM aclexplode(acl) a
        WHERE a.grantee = owner AND a.privilege_type = o.privilege_type)
"""

# Only of the roles of this package, and of everybody what is more than to look into the
# schema. A role may be let in by a right of its own or by everybody's.
_ON_THE_SCHEMA: Final = f"""
    SELECT coalesce(rolname, '{PUBLIC}'), name, privilege_type, '', is_grantable, false
    FROM schema, aclexplode(nspacl) LEFT JOIN roles ON roles.oid = grantee
    WHERE grantee <> nspowner AND (rolname IS NOT NULL OR grantee = 0 AND privilege_type = 'CREATE')
    UNION ALL
    SELECT rolname, name, privilege, '', false, false
    FROM schema, roles, unnest(ARRAY['USAGE', 'CREATE']) AS privilege
    WHERE (privilege = 'USAGE' OR rolname = '{SCHEMA_OWNER}')
    AND has_schema_privilege(roles.oid, schema.oid, privilege)
    UNION ALL
    SELECT rolname, name, '{OWNERSHIP}', '', false, false
    FROM schema JOIN roles ON roles.oid = nspowner WHERE rolname <> '{SCHEMA_OWNER}'
    UNION ALL
    SELECT role, name, 'USAGE', '', false, true FROM schema, unnest(:roles) AS role
    UNION ALL
    SELECT '{SCHEMA_OWNER}', name, 'CREATE', '', false, true FROM schema
    UNION ALL
    SELECT coalesce(rolname, '{PUBLIC}'), concat_ws(' IN ', '{DEFAULT_TABLES}', name),
        privilege_type, '', is_grantable, false
    FROM pg_default_acl LEFT JOIN schema ON schema.oid = defaclnamespace,
        aclexplode(defaclacl) LEFT JOIN roles ON roles.oid = grantee
    WHERE pg_get_userbyid(defaclrole) = '{SCHEMA_OWNER}' AND defaclobjtype = 'r'
    AND (defaclnamespace = 0 OR name IS NOT NULL)
    AND grantee <> defaclrole AND (grantee = 0 OR rolname IS NOT NULL)
"""

_HAS: Final = ", ".join(f"('{name}', {column})" for name, column in ATTRIBUTES.items())

_ON_THE_SERVER: Final = f"""
    SELECT rolname, 'DATABASE ' || quote_ident(datname), '{OWNERSHIP}', '', false, false
    FROM pg_database JOIN roles ON roles.oid = datdba
    WHERE datname = current_database() AND rolname <> '{SCHEMA_OWNER}'
    UNION ALL
    -- That everybody may connect and make temporary tables is PostgreSQL's default.
    SELECT coalesce(rolname, '{PUBLIC}'), 'DATABASE ' || quote_ident(datname), privilege_type, '',
        is_grantable, false
    FROM pg_database, aclexplode(datacl) LEFT JOIN roles ON roles.oid = grantee
    WHERE datname = current_database() AND privilege_type = 'CREATE' AND grantee <> datdba
    AND (grantee = 0 OR rolname <> '{SCHEMA_OWNER}')
    UNION ALL
    SELECT coalesce(rolname, '{PUBLIC}'), '{PARAMETER}' || quote_ident(parname), privilege_type,
        '', is_grantable, false
    FROM pg_parameter_acl, aclexplode(paracl) LEFT JOIN roles ON roles.oid = grantee
    WHERE grantee = 0 OR rolname IS NOT NULL
    UNION ALL
    SELECT rolname, '{SERVER}', attribute, '', false, false
    FROM roles, LATERAL (VALUES {_HAS}) AS a (attribute, has) WHERE has
    UNION ALL
    SELECT roles.rolname, 'ROLE ' || quote_ident(r.rolname), '{MEMBERSHIP}', '', false, false
    FROM pg_auth_members m JOIN roles ON roles.oid = member JOIN pg_roles r ON r.oid = roleid
"""

_RIGHTS: Final = f"""
    {_OBJECTS}, given AS (
        -- That everybody may call some functions is a fact of the schema; see catalog.py.
        SELECT name, owner, '' AS attname, a.*
        FROM objects, aclexplode(coalesce(acl, acldefault(kind, owner))) a
        WHERE kind <> 'f' OR grantee <> 0 OR name <> ALL(:public)
        UNION ALL
        SELECT name, owner, quote_ident(c.attname), a.*
        FROM ours JOIN pg_attribute c ON c.attrelid = ours.oid, aclexplode(c.attacl) a
    ), schema AS (
        SELECT *, 'SCHEMA ' || quote_ident(nspname) AS name FROM pg_namespace
        WHERE nspname = current_schema()
    ), roles AS (
        SELECT * FROM pg_roles WHERE rolname = ANY(:roles)
    )
    {_ON_TABLES} UNION ALL {_ON_THE_SCHEMA} UNION ALL {_ON_THE_SERVER}
"""

_POWER: Final = f"""
    {_OBJECTS}
    SELECT
        (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user),
        (SELECT string_agg(name, ', ' ORDER BY name) FROM objects
            WHERE kind <> 's' AND NOT pg_has_role(owner, 'USAGE'))
"""

_ROLES: Final = "SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """The rights of one moment: a partition that comes or goes is in both sets or in none."""

    found: frozenset[Grant]
    """Those that there are on this package's tables and what belongs to them, and beside
    them those of its own roles and of everybody.

    The owner of a table is listed with ``OWNERSHIP`` only, and a superuser never.
    """

    required: frozenset[Grant]
    """Those that there shall be: the models', and on the schema and the partitions there are.

    What an owner has of itself is listed where it has lost it.
    """

    @property
    def missing(self) -> frozenset[Grant]:
        """What shall be given."""
        return self.required - self.found

    @property
    def too_much(self) -> frozenset[Grant]:
        """What shall be taken."""
        ours = {PUBLIC, *ROLES}
        return frozenset(right for right in self.found - self.required if right.role in ours)

    @property
    def others(self) -> frozenset[Grant]:
        """The rights of roles that are none of this package's."""
        return self.found - self.required - self.too_much

    @property
    def are_in_use(self) -> bool:
        """Whether a role has a right on a table; others may be for another database's sake."""
        elsewhere = ("DATABASE ", DEFAULT_TABLES, PARAMETER, "ROLE ", "SCHEMA ", SERVER)
        return any(
            right.role in ROLES and not right.on.startswith(elsewhere) for right in self.found
        )


def read_rights(connection: Connection) -> Rights:
    """Read the rights that there are and shall be; nothing is written."""
    found: set[Grant] = set()
    required = set(expected_grants())
    for role, on, privilege, column, grantable, is_required in _ask(connection, _RIGHTS):
        (required if is_required else found).add(Grant(role, on, privilege, column))
        if grantable:
            found.add(Grant(role, on, GRANT_OPTION + privilege, column))
    return Rights(found=frozenset(found), required=frozenset(required))


def read_roles(connection: Connection) -> frozenset[str]:
    """Which of the roles of this package the server has."""
    return frozenset(name for (name,) in _ask(connection, _ROLES))


def read_power(connection: Connection) -> tuple[bool, str | None]:
    """Whether the user may create roles, and the objects of ours that it does not own."""
    ((may_create, not_owned),) = _ask(connection, _POWER)
    return may_create, not_owned


def find_grant_drift(connection: Connection) -> tuple[str, ...]:
    """Every right that is missing or too much, one line each; empty when there is none.

    A database whose programs all log in as the tables' owner uses no roles, and
    misses none. The rights of other programs' roles are their operator's affair.
    What everybody may call is compared with the schema's other facts.
    """
    rights = read_rights(connection)
    missing = rights.missing if rights.are_in_use else frozenset()
    return tuple(
        f"{right} is {'missing' if right in missing else 'too much'}"
        for right in sorted(missing | rights.too_much)
        if not (right.role == PUBLIC and right.on.startswith(FUNCTION))
    )


def _ask(connection: Connection, query: str) -> Sequence[Any]:
    names = {
        "tables": table_names(),
        "functions": [signature(name) for name in FUNCTIONS],
        "public": [f"{FUNCTION}{name}" for name in public_functions()],
        "roles": list(ROLES),
    }
    used = {name: value for name, value in names.items() if f":{name}" in query}
    typed = (bindparam(name, type_=ARRAY(Text)) for name in used)
    return connection.execute(text(query).bindparams(*typed), used).all()
