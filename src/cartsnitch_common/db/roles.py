"""The roles, and what each may do: derived from the owners in the models.

The roles cannot log in. An operator makes the logins, each a member of one role::

    CREATE ROLE receiptwitness_1 LOGIN PASSWORD '...' IN ROLE cartsnitch_receiptwitness;

so that no password passes through this package or the server's log of statements,
one is changed by making the next login beside it, and a managed database whose
operator makes the roles by hand needs nothing else. Roles are the whole
cluster's: two installations in one cluster share them, and are kept apart by
which logins may connect to which database.

Foreign keys need no rights of a service: PostgreSQL checks and cascades them as the
table's owner. That not everybody may call a function stands in the migrations; its owner
stands here, because some run with the owner's rights, and which role may call it.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from cartsnitch_common.constants import Service
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.owners import CALLERS, EVERY_SERVICE, FUNCTIONS, Program, Share
from cartsnitch_common.db.revisions import VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy import MetaData

SCHEMA_OWNER: Final = "cartsnitch_owner"
"""Owns every table and function of ours. Who migrates is a member of it, or a superuser."""

PUBLIC: Final = "PUBLIC"
"""What SQL calls everybody."""

OWNERSHIP: Final = "OWNERSHIP"
"""The privilege of ``SCHEMA_OWNER``."""

GRANT_OPTION: Final = "GRANT OPTION FOR "
"""What stands before a privilege when the right is to pass it on."""

_OWNERS_PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")


class Grant(NamedTuple):
    """One right of one role."""

    role: str
    """Such as ``cartsnitch_api``, or ``PUBLIC``."""

    on: str
    """The table; a sequence is ``SEQUENCE ...``, a function ``FUNCTION ...``."""

    privilege: str
    """Such as ``SELECT``, ``OWNERSHIP``, or ``GRANT OPTION FOR SELECT``."""

    column: str = ""
    """The only column it is for; empty for all."""

    def __str__(self) -> str:
        """Say it in words: ``SELECT (id) on event_dead_letters for cartsnitch_api``."""
        return f"{self.what} on {self.on} for {self.role}"

    @property
    def what(self) -> str:
        """The privilege with its column, as GRANT and REVOKE spell it."""
        return f"{self.privilege} ({self.column})" if self.column else self.privilege


def role_of(owner: Service | Program) -> str:
    """The name of the role of a service or a program, such as ``cartsnitch_api``."""
    return f"cartsnitch_{owner}"


SERVICE_ROLES: Final = tuple(role_of(owner) for owner in (*EVERY_SERVICE, *Program))
"""The roles that work on rows."""

ROLES: Final = (SCHEMA_OWNER, *SERVICE_ROLES)
"""Every role that this package knows."""


def expected_grants(metadata: MetaData = Base.metadata) -> frozenset[Grant]:
    """The rights that there shall be on this package's tables, and no others.

    Args:
        metadata: The tables; those of the models.

    Raises:
        TypeError: A table names no owner.
    """
    return frozenset(_expected(metadata))


def table_names(metadata: MetaData = Base.metadata) -> list[str]:
    """The tables that the rights are about: those of the models and the migrations' own."""
    return [*sorted(metadata.tables), VERSION_TABLE]


def _expected(metadata: MetaData) -> Iterator[Grant]:
    for name in (*table_names(metadata), *(f"FUNCTION {name}" for name in FUNCTIONS)):
        yield Grant(SCHEMA_OWNER, name, OWNERSHIP)
    for role in SERVICE_ROLES:
        # Each program compares the schema with its own version when it starts.
        yield Grant(role, VERSION_TABLE, "SELECT")
    for function, caller in CALLERS.items():
        yield Grant(role_of(caller), f"FUNCTION {function}", "EXECUTE")
    for table in metadata.tables.values():
        match table.info.get("owner"):
            case Service() | Program() as owner:
                for privilege in table.info.get("privileges", _OWNERS_PRIVILEGES):
                    yield Grant(role_of(owner), table.name, privilege)
            case _:
                raise TypeError(f"the table {table.name} names no owner in its info")
        shares: list[Share] = table.info.get("shared", [])
        for share in shares:
            for service in share.services:
                for column in share.columns or ("",):
                    yield Grant(role_of(service), table.name, share.privilege, column)


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


def own_schema(metadata: MetaData = Base.metadata) -> str:
    """The statement that lets the roles into the schema, and hands it to its owner.

    It changes only what is otherwise: a table that changes hands is locked.
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
  FOREACH name IN ARRAY {_array(table_names(metadata))} LOOP
    IF (SELECT relowner FROM pg_class WHERE oid = name::regclass)
        <> '{SCHEMA_OWNER}'::regrole THEN
      EXECUTE format('ALTER TABLE %I OWNER TO {SCHEMA_OWNER}', name);
    END IF;
  END LOOP;
  FOR name IN SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = ANY ({_array(table_names(metadata))}::regclass[])
    AND c.relowner <> '{SCHEMA_OWNER}'::regrole
  LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO {SCHEMA_OWNER}', name);
  END LOOP;
  FOR name IN SELECT proname FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
    AND proname = ANY ({_array(FUNCTIONS)}) AND proowner <> '{SCHEMA_OWNER}'::regrole
  LOOP
    EXECUTE format('ALTER FUNCTION %I OWNER TO {SCHEMA_OWNER}', name);
  END LOOP;
END $$"""


def give(grants: Iterable[Grant]) -> list[str]:
    """The statements that give rights; ownership is given by ``own_schema``."""
    return [f"GRANT {privileges} ON {on} TO {role}" for role, on, privileges in _grouped(grants)]


def take(grants: Iterable[Grant]) -> list[str]:
    """The statements that take rights away, and those that were passed on by them.

    A right on a table that is taken takes the same right on each column along.
    """
    return [
        f"REVOKE {privileges} ON {on} FROM {role} CASCADE"
        for role, on, privileges in _grouped(grants)
    ]


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
        create_roles(),
        own_schema(metadata),
        f"REVOKE ALL ON {', '.join(table_names(metadata))} FROM {others} CASCADE",
        f"REVOKE ALL ON SEQUENCE {', '.join(sequences)} FROM {others} CASCADE",
        f"REVOKE ALL ON FUNCTION {', '.join(CALLERS)} FROM {others} CASCADE",
        *give(expected_grants(metadata)),
    ]


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
