"""The statements that make the roles and bring a database to the rights that there shall be.

Those that depend on what there is are one DO block each, which changes only what
is otherwise: they stand in the script that needs no database as they are run.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from cartsnitch_common.db.models import Base
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
    SERVICE_ROLES,
    Grant,
    expected_grants,
    table_names,
)
from cartsnitch_common.db.signatures import FUNCTION, private_functions, signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import MetaData

_BOOTSTRAP_SUPERUSER: Final = 10
"""The number of the role that made the cluster, in PostgreSQL's source: parameters are its."""


def create_roles() -> str:
    """The statement that makes the roles that are missing.

    Another database of the cluster may make them at the same moment.
    """
    return f"""DO $$
DECLARE
  name text;
BEGIN
  FOREACH name IN ARRAY {_array(ROLES)} LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
      BEGIN
        EXECUTE format('CREATE ROLE %I NOLOGIN', name);
      EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;
      END;
    END IF;
  END LOOP;
END $$"""


def restrain_roles(metadata: MetaData = Base.metadata) -> str:
    """The statement that takes from the roles, and from everybody, what no model is asked for.

    Attributes and memberships, rights on the database, the server's parameters, the schema and
    partitions, those to come among them, and what others have passed on of ours. Each is taken
    as who gave it, because that is how PostgreSQL keeps them apart; the error names who must.
    """
    attributes = ", ".join(f"('{name}', {column})" for name, column in ATTRIBUTES.items())
    return f"""DO $$
DECLARE
  roles CONSTANT oid[] := {_array(ROLES)}::regrole[];
  me CONSTANT text := current_setting('role');
  statement text;
  its_owner oid;
  giver oid;
BEGIN
  FOR statement, its_owner, giver IN
    {_objects(metadata)}, given AS (
      SELECT name, owner, is_partition, '' AS field, a.* FROM objects, aclexplode(acl) a
      UNION ALL
      SELECT name, owner, is_partition, format(' (%I)', attname), a.*
      FROM objects JOIN pg_attribute ON attrelid = objects.oid, aclexplode(attacl) a
      WHERE kind = 'r'
    ), wrong (what, whose, given_by) AS (
    SELECT format('ALTER ROLE %I NO%s', rolname, a.name), NULL::oid, NULL::oid
    FROM pg_roles, LATERAL (VALUES {attributes}) a (name, has)
    WHERE oid = ANY (roles) AND has
    UNION ALL
    SELECT format('REVOKE %s FROM %s%s CASCADE', roleid::regrole, member::regrole,
      ' GRANTED BY ' || quote_ident(g.rolname)), NULL, NULL
    FROM pg_auth_members LEFT JOIN pg_roles g ON g.oid = grantor
    WHERE member = ANY (roles)
    UNION ALL
    SELECT format('REVOKE CREATE ON DATABASE %I FROM %s CASCADE', datname, {_grantee("grantee")}),
      datdba, grantor
    FROM pg_database, aclexplode(datacl)
    WHERE datname = current_database() AND privilege_type = 'CREATE' AND grantee <> datdba
    AND grantee = ANY (0::oid || roles) AND grantee <> '{SCHEMA_OWNER}'::regrole
    UNION ALL
    SELECT format('REVOKE %s ON {PARAMETER}%I FROM %s CASCADE', privilege_type, parname,
      {_grantee("grantee")}), {_BOOTSTRAP_SUPERUSER}, grantor
    FROM pg_parameter_acl, aclexplode(paracl) WHERE grantee = ANY (0::oid || roles)
    UNION ALL
    SELECT format('REVOKE %s%s ON SCHEMA %I FROM %s CASCADE', option, privilege_type, nspname,
      role), nspowner, grantor
    FROM pg_namespace, aclexplode(nspacl),
      LATERAL (SELECT {_grantee("grantee")} AS role,
        CASE WHEN privilege_type = 'USAGE' OR grantee = '{SCHEMA_OWNER}'::regrole
          THEN '{GRANT_OPTION}' END AS option) o
    WHERE nspname = current_schema() AND grantee <> nspowner
    AND grantee = ANY (0::oid || roles) AND (option IS NULL OR is_grantable)
    UNION ALL
    SELECT format('REVOKE %s%s ON %s FROM %s CASCADE', privilege_type, field, name,
      {_grantee("grantee")}), owner, grantor
    FROM given WHERE grantee <> owner AND grantee = ANY (0::oid || roles)
    AND (is_partition OR grantor <> owner AND grantor <> ALL (roles))
    UNION ALL
    SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE {SCHEMA_OWNER}%s REVOKE %s ON TABLES FROM %s'
      ' CASCADE', ' IN SCHEMA ' || quote_ident(nspname), privilege_type, {_grantee("grantee")}),
      NULL, NULL
    FROM pg_default_acl LEFT JOIN pg_namespace n ON n.oid = defaclnamespace,
      aclexplode(defaclacl)
    WHERE defaclrole = '{SCHEMA_OWNER}'::regrole AND defaclobjtype = 'r'
    AND coalesce(nspname, current_schema()) = current_schema()
    AND grantee <> defaclrole AND grantee = ANY (0::oid || roles)
    )
    -- First what others gave: they may have it from a role of ours, and lose it with that.
    SELECT * FROM wrong ORDER BY given_by = whose OR given_by = ANY (roles)
  LOOP
    IF giver = ANY (roles) THEN
      giver := its_owner;  -- what a role of ours passed on goes with its own
    END IF;
    IF NOT pg_has_role(giver, 'MEMBER') THEN
      RAISE EXCEPTION 'only % may do this: %', giver::regrole, statement;
    END IF;
    IF giver <> its_owner THEN
      PERFORM set_config('role', pg_get_userbyid(giver), true);
    END IF;
    EXECUTE statement;
    PERFORM set_config('role', me, true);
  END LOOP;
END $$"""


def own_schema(metadata: MetaData = Base.metadata) -> str:
    """The statement that lets the roles into the schema, and hands it to its owner.

    The owner gets back what of its own was taken from it. It changes only what is
    otherwise: a table that changes hands is locked.
    """
    return f"""DO $$
DECLARE
  name text;
BEGIN
  IF NOT pg_has_role('{SCHEMA_OWNER}', 'USAGE') THEN
    GRANT {SCHEMA_OWNER} TO CURRENT_USER;
  END IF;
  FOREACH name IN ARRAY {_array(ROLES)} LOOP
    IF NOT has_schema_privilege(name, current_schema(), 'USAGE') THEN
      EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), name);
    END IF;
  END LOOP;
  IF NOT has_schema_privilege('{SCHEMA_OWNER}', current_schema(), 'CREATE') THEN
    EXECUTE format('GRANT CREATE ON SCHEMA %I TO {SCHEMA_OWNER}', current_schema());
  END IF;
  FOR name IN {_objects(metadata)}
    SELECT CASE kind WHEN 'r' THEN 'TABLE ' || objects.name ELSE objects.name END
    FROM objects WHERE kind <> 's' AND owner <> '{SCHEMA_OWNER}'::regrole
  LOOP
    EXECUTE format('ALTER %s OWNER TO {SCHEMA_OWNER}', name);
  END LOOP;
  FOR name IN {_objects(metadata)}
    SELECT format('%s ON %s', o.privilege_type, objects.name)
    FROM objects, aclexplode(acldefault(kind, owner)) o
    WHERE o.grantee = owner AND acl IS NOT NULL AND NOT EXISTS (
      SELECT FROM aclexplode(acl) a
      WHERE a.grantee = owner AND a.privilege_type = o.privilege_type)
  LOOP
    EXECUTE format('GRANT %s TO {SCHEMA_OWNER}', name);
  END LOOP;
END $$"""


def give(grants: Iterable[Grant]) -> list[str]:
    """The statements that give rights; ownership is given by ``own_schema``."""
    return [
        f"GRANT {privileges} ON {_identified(on)} TO {role}"
        for role, on, privileges in _grouped(grants)
    ]


def take(grants: Iterable[Grant]) -> list[str]:
    """The statements that take rights away, and those that were passed on by them.

    A right on a table that is taken takes the same right on each column along.
    """
    return [_taken(*group) for group in _grouped(grants)]


def script(metadata: MetaData = Base.metadata) -> list[str]:
    """The statements that bring any database at head to the expected rights.

    For an operator to run as one transaction; may be repeated.
    """
    others = ", ".join([PUBLIC, *SERVICE_ROLES])
    sequences = [
        f"{table.name}_{column.name}_seq"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.identity is not None
    ]
    return [
        "SET LOCAL lock_timeout = '2s'",
        "SET LOCAL search_path = public",
        "SET LOCAL quote_all_identifiers = off",
        create_roles(),
        restrain_roles(metadata),
        own_schema(metadata),
        f"REVOKE ALL ON {', '.join(table_names(metadata))} FROM {others} CASCADE",
        f"REVOKE ALL ON SEQUENCE {', '.join(sequences)} FROM {others} CASCADE",
        f"REVOKE ALL ON FUNCTION {_signatures(FUNCTIONS)} FROM {', '.join(SERVICE_ROLES)} CASCADE",
        f"REVOKE ALL ON FUNCTION {_signatures(private_functions())} FROM {PUBLIC} CASCADE",
        *give(expected_grants(metadata)),
    ]


def _taken(role: str, on: str, privileges: str) -> str:
    if on == SERVER:
        return f"ALTER ROLE {role} NO{privileges.replace(', ', ' NO')}"
    if privileges == MEMBERSHIP:
        return f"REVOKE {on.removeprefix('ROLE ')} FROM {role} CASCADE"
    if on.startswith(DEFAULT_TABLES):
        scope = f"{SCHEMA_OWNER}{on.removeprefix(DEFAULT_TABLES)}"
        revoked = f"REVOKE {privileges} ON TABLES FROM {role} CASCADE"
        return f"ALTER DEFAULT PRIVILEGES FOR ROLE {scope} {revoked}"
    return f"REVOKE {privileges} ON {_identified(on)} FROM {role} CASCADE"


def _identified(on: str) -> str:
    """What a right is on, in words that mean nothing else: others may have a function's name."""
    if on.startswith(FUNCTION):
        return f"{FUNCTION}{signature(on.removeprefix(FUNCTION))}"
    return on


def _signatures(functions: Iterable[str]) -> str:
    return ", ".join(map(signature, functions))


def _objects(metadata: MetaData) -> str:
    """The beginning of a query on this package's tables, partitions, sequences and functions."""
    return f"""WITH RECURSIVE ours AS (
      SELECT oid, false AS is_partition FROM pg_class
      WHERE oid = ANY ({_array(table_names(metadata))}::regclass[])
      UNION ALL
      SELECT c.oid, true FROM ours JOIN pg_inherits ON inhparent = ours.oid
        JOIN pg_class c ON c.oid = inhrelid AND c.relispartition
    ), objects AS (
      SELECT oid, oid::regclass::text AS name, 'r'::"char" AS kind, relowner AS owner,
        relacl AS acl, is_partition
      FROM ours JOIN pg_class USING (oid)
      UNION ALL
      SELECT s.oid, 'SEQUENCE ' || s.oid::regclass, 's', relowner, relacl, is_partition
      FROM ours JOIN pg_depend d ON d.refobjid = ours.oid AND d.refclassid = 'pg_class'::regclass
        JOIN pg_class s ON s.oid = d.objid AND d.classid = 'pg_class'::regclass
          AND s.relkind = 'S'
      UNION ALL
      SELECT p.oid, '{FUNCTION}' || p.oid::regprocedure, 'f', proowner, proacl, false
      FROM pg_proc p WHERE pronamespace = current_schema()::regnamespace
      AND format('%s(%s)', proname, pg_get_function_identity_arguments(p.oid))
        = ANY ({_array(map(signature, FUNCTIONS))})
    )"""


def _grouped(grants: Iterable[Grant]) -> Iterator[tuple[str, str, str]]:
    """The rights of each role on each table, in one list where SQL allows that."""

    def target(grant: Grant) -> tuple[str, str, str]:
        option = grant.privilege.startswith(GRANT_OPTION)
        return grant.role, grant.on, grant.what if option else ""

    changed = sorted((g for g in grants if g.privilege != OWNERSHIP), key=lambda g: (target(g), g))
    for (role, on, _), group in groupby(changed, target):
        yield role, on, ", ".join(grant.what for grant in group)


def _array(names: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(f"'{name}'" for name in names)}]"


def _grantee(column: str) -> str:
    return f"CASE {column} WHEN 0 THEN '{PUBLIC}' ELSE {column}::regrole::text END"
