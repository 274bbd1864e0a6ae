"""The roles, and what each may do: derived from the owners in the models.

The roles cannot log in. An operator makes the logins, each a member of one role::

    CREATE ROLE receiptwitness_1 LOGIN PASSWORD '...' IN ROLE cartsnitch_receiptwitness;

so that no password passes through this package or the server's log of statements,
one is changed by making the next login beside it, and a managed database whose
operator makes the roles by hand needs nothing else. Roles are the whole
cluster's: two installations in one cluster share them, and are kept apart by
which logins may connect to which database. What else a service needs, such as
another program's tables, is given to its login: the role has no attribute, is a
member of none and makes nothing in the schema.

Foreign keys need no rights of a service: PostgreSQL checks and cascades them as the
table's owner. That not everybody may call a function stands in the migrations; its owner
stands here, because some run with the owner's rights, and which role may call it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from cartsnitch_common.constants import Service
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.owners import CALLERS, EVERY_SERVICE, FUNCTIONS, Program, Share
from cartsnitch_common.db.revisions import VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import MetaData

SCHEMA_OWNER: Final = "cartsnitch_owner"
"""Owns every table and function of ours. Who migrates is a member of it, or a superuser."""

PUBLIC: Final = "PUBLIC"
"""What SQL calls everybody."""

OWNERSHIP: Final = "OWNERSHIP"
"""The privilege of ``SCHEMA_OWNER``."""

MEMBERSHIP: Final = "MEMBERSHIP"
"""The privilege on another role: whatever that one may. No role of ours has it."""

SERVER: Final = "SERVER"
"""What the attributes of a role are privileges on. No role of ours has one."""

DEFAULT_TABLES: Final = "DEFAULT TABLES"
"""What rights on tables to come are on: the owner's job makes partitions with them."""

PARAMETER: Final = "PARAMETER "
"""What stands before the name of a setting of the server that a right is on.

Who may set ``session_replication_role`` writes past foreign keys and triggers.
"""

ATTRIBUTES: Final = {
    "LOGIN": "rolcanlogin",
    "SUPERUSER": "rolsuper",
    "CREATEDB": "rolcreatedb",
    "CREATEROLE": "rolcreaterole",
    "REPLICATION": "rolreplication",
    "BYPASSRLS": "rolbypassrls",
}
"""The attributes of a role that give power, and their columns in ``pg_roles``."""

GRANT_OPTION: Final = "GRANT OPTION FOR "
"""What stands before a privilege when the right is to pass it on."""

_OWNERS_PRIVILEGES: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")


class Grant(NamedTuple):
    """One right of one role."""

    role: str
    """Such as ``cartsnitch_api``, or ``PUBLIC``."""

    on: str
    """The table or its partition; else the kind and the name, such as ``SEQUENCE ...``.

    Another role is ``ROLE ...``, and what holds in every database is on ``SERVER``.
    """

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

    Those on the schema and on partitions depend on the database; see ``rights.py``.

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
