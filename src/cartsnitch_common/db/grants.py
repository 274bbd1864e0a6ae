"""How the rights that a database grants become those that it shall grant."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError

from cartsnitch_common.db import migrate
from cartsnitch_common.db.catalog import SAME_WORDS
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.db.rights import Rights, read_power, read_rights, read_roles
from cartsnitch_common.db.role_statements import (
    create_roles,
    give,
    own_schema,
    restrain_roles,
    take,
)
from cartsnitch_common.db.roles import ROLES, SCHEMA_OWNER, Grant, table_names
from cartsnitch_common.db.runner import reason_of
from cartsnitch_common.db.url import SETTING
from cartsnitch_common.errors import (
    AccessDeniedError,
    SchemaVersionError,
    SettingError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cartsnitch_common.config import Settings

_LOCK: Final = text(f"SELECT pg_advisory_xact_lock({0x6772616E7473})")  # "grants"
_BEGIN: Final = f"SET LOCAL lock_timeout = '200ms'; {SAME_WORDS}"
_ATTEMPTS: Final = 60
_LONGEST_PAUSE: Final = 1.0  # seconds
_ROLE_CHANGED: Final = "XX000"
"""What PostgreSQL says when a run in another database has changed the same role just now."""


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


def apply_grants(settings: Settings) -> GrantsResult:
    """Bring the database to the expected rights, in one transaction. May be repeated.

    Roles that are missing are made. When nothing is to change, nothing is written
    and no table is locked. Several may run at once.

    Raises:
        SettingError: the database's address is not set, or it cannot be used.
        SchemaVersionError: the database is not at head: tables are missing, or are
            a newer version's, whose rights this one would take away.
        GrantError: the connected user may not do what is needed, or a statement failed.
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
                raise GrantError(reason_of(error)) from None
        longest = min(_LONGEST_PAUSE, 0.05 * 2**attempt)
        time.sleep(random.uniform(longest / 2, longest))  # noqa: S311 - no secret
    raise GrantError("nothing was changed: others hold the tables all the while")


def _apply(connection: Connection) -> GrantsResult:
    connection.exec_driver_sql(_BEGIN)
    connection.execute(_LOCK)
    created = frozenset(ROLES) - read_roles(connection)
    _require_power(connection, created)
    if created:
        connection.execute(text(create_roles()))
    before = read_rights(connection)
    _restrain(connection, before)
    _hand_over(connection)
    _run(connection, take(read_rights(connection).too_much))
    # Read again: what is taken from a table is taken from its columns as well.
    _run(connection, give(read_rights(connection).missing))
    after = read_rights(connection)
    if left := after.missing | after.too_much:
        raise GrantError(f"what only another role may change: {_listed(left)}")
    return GrantsResult(
        created=tuple(sorted(created)),
        given=tuple(sorted(before.missing)),
        taken=tuple(sorted(before.too_much)),
        others=tuple(sorted(after.others)),
    )


def _run(connection: Connection, statements: list[str]) -> None:
    for statement in statements:
        connection.execute(text(statement))


def _require_power(connection: Connection, missing_roles: frozenset[str]) -> None:
    """Make sure that the user may do it, to say so in better words than PostgreSQL's."""
    may_create, not_owned = read_power(connection)
    if missing_roles and not may_create:
        names = ", ".join(sorted(missing_roles))
        raise GrantError(f"the user may not create roles, and these are missing: {names}")
    if not_owned:
        raise GrantError(f"the user does not own {not_owned}")


def _restrain(connection: Connection, before: Rights) -> None:
    with suppress(AccessDeniedError):
        connection.execute(text(restrain_roles()))
        return
    beside = (right for right in before.too_much if right.on not in table_names())
    raise GrantError(f"the user may not take {_listed(beside)}")


def _hand_over(connection: Connection) -> None:
    with suppress(AccessDeniedError):
        connection.execute(text(own_schema()))
        return
    raise GrantError(
        f"the user must be a member of {SCHEMA_OWNER}, which needs CREATE in the schema"
    )


def _listed(rights: Iterable[Grant]) -> str:
    return "; ".join(str(right) for right in sorted(rights))
