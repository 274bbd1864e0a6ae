"""The migrations as they are on disk, and where a database stands among them.

While a release is rolled out, and after it is rolled back, a version meets a
database that is not at its head. It works with:

* a database that is behind, from ``OLDEST_COMPATIBLE`` on;
* a database that is ahead, until a contract revision has dropped what the version
  needs. Such a revision says ``serves = "0014_..."``, the oldest head that its
  schema still serves, and the runner writes that on the version table. A version
  that knows the revision named there is served; one that does not is too old.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import ARRAY, Text, bindparam, text

from cartsnitch_common.db.models import Base
from cartsnitch_common.db.url import SETTING
from cartsnitch_common.errors import InvalidFieldError, SchemaVersionError

if TYPE_CHECKING:
    from alembic.script import Script
    from sqlalchemy import Connection, Engine
    from sqlalchemy.ext.asyncio import AsyncEngine

OLDEST_COMPATIBLE: Final = "0023_record_purchase"
"""The oldest revision that has all that the code of this version uses."""

VERSION_TABLE: Final = "alembic_version_cartsnitch"
"""Not Alembic's own name: another program in the database may use that."""

_SERVED: Final = re.compile(r"serves (\w+) and later")
_FIND_TABLE: Final = text(
    "SELECT to_regclass(:table) IS NOT NULL AS exists,"
    " obj_description(to_regclass(:table), 'pg_class') AS comment,"
    " (SELECT CAST(min(relname) AS text) FROM pg_class"
    "   WHERE relnamespace = to_regnamespace('public') AND relname = ANY(:tables)"
    "   AND NOT pg_table_is_visible(oid)) AS hidden"
).bindparams(bindparam("tables", type_=ARRAY(Text)))
_READ_REVISIONS: Final = text(f"SELECT version_num FROM {VERSION_TABLE}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One migration."""

    id: str
    """Such as ``0001_stores``; at most 32 characters."""

    title: str
    """What it does, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """Where a database stands: at the head, behind it, or ahead of this version."""

    current: str | None
    """The revision of the database; None when it has none yet."""

    head: str
    """The newest revision that this version of the package knows."""

    pending: tuple[Revision, ...]
    """What an upgrade would apply, in order."""

    is_compatible: bool
    """Whether this version works with the database."""

    @property
    def is_at_head(self) -> bool:
        """Whether the schema is the one of this version."""
        return self.current == self.head

    @property
    def is_ahead(self) -> bool:
        """Whether the database's revision is not known here: a newer version made it."""
        return not self.is_at_head and not self.pending

    @property
    def state(self) -> Literal["at head", "behind", "ahead"]:
        """Where it stands, in a word for machines."""
        return "at head" if self.is_at_head else "behind" if self.pending else "ahead"

    def __str__(self) -> str:
        """Say it to a person, in one line."""
        if self.is_at_head:
            return f"at head: {self.head}"
        if self.pending:
            at = self.current or "none"
            return f"behind by {len(self.pending)}: at {at}, the head is {self.head}"
        served = "still serves it" if self.is_compatible else "no longer serves it"
        return (
            f"ahead: this library is older than the database, which is at {self.current} and"
            f" {served}; the head known here is {self.head}"
        )


def scripts_folder() -> Path:
    """Where the migrations are: in the installed package, or in the repository."""
    package = Path(__file__).parents[1]
    installed = package / "alembic"
    return installed if installed.is_dir() else package.parents[1] / "alembic"


def alembic_config() -> Config:
    """Alembic's settings, which need no file and hold from any directory."""
    config = Config()
    config.set_main_option("script_location", str(scripts_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def heads() -> tuple[str, ...]:
    """The ids of the newest revisions: one, or the migrations are wrong."""
    return tuple(_scripts().get_heads())


def find_revision(name: str, end: str) -> str:
    """The id of the revision that somebody names.

    Relative names, such as ``+1``, are none: each of several runs would go on from where
    the one before it stopped.

    Args:
        name: An id, or enough of its beginning to be the only one.
        end: What is said for an end of the history, ``head`` or ``base``; returned as it is.

    Raises:
        InvalidFieldError: there is no such revision, or it could be several.
    """
    if name == end:
        return end
    ids = [script.revision for script in _scripts().walk_revisions()][::-1]
    found = [each for each in ids if each == name] or [
        each for each in ids if each.startswith(name)
    ]
    if len(found) != 1:
        reason = f"is {end}, or an id from {ids[0]} to {ids[-1]}, and not what was given"
        raise InvalidFieldError("revision", reason)
    return found[0]


def as_revision(script: Script) -> Revision:
    """What Alembic knows of a migration."""
    return Revision(id=script.revision, title=script.doc)


def status_of(current: str | None, serves: str | None = None) -> SchemaStatus:
    """Where a database stands.

    Args:
        current: Its revision; None if it has none.
        serves: The oldest head that it serves; None if it has dropped nothing yet.
    """
    scripts = _scripts()
    (head,) = scripts.get_heads()
    known = [as_revision(script) for script in scripts.walk_revisions()][::-1]
    ids = [None, *(revision.id for revision in known)]
    if current in ids:
        at = ids.index(current)
        pending, is_compatible = known[at:], at >= ids.index(OLDEST_COMPATIBLE)
    else:
        pending, is_compatible = [], serves in ids
    return SchemaStatus(
        current=current, head=head, pending=tuple(pending), is_compatible=is_compatible
    )


def read_status(connection: Connection) -> SchemaStatus:
    """Where the database of a connection stands.

    Raises:
        SchemaVersionError: it has several revisions, or the login does not find the tables.
    """
    names = [VERSION_TABLE, *Base.metadata.tables]
    table = connection.execute(_FIND_TABLE, {"table": VERSION_TABLE, "tables": names}).one()
    if table.hidden is not None:
        reason = (
            f"the search_path leads past the table {table.hidden} of the schema public, or the"
            " login may not use the schema"
        )
        raise SchemaVersionError(SETTING, reason)
    if not table.exists:
        return status_of(None)
    revisions = list(connection.scalars(_READ_REVISIONS))
    if len(revisions) > 1:
        message = f"{VERSION_TABLE} holds more than one revision: {', '.join(sorted(revisions))}"
        raise SchemaVersionError(SETTING, message)
    served = _SERVED.fullmatch(table.comment or "")
    return status_of(revisions[0] if revisions else None, served[1] if served else None)


async def check_schema(engine: AsyncEngine) -> SchemaStatus:
    """Make sure, when a service starts, that this version works with the database.

    Raises:
        SchemaVersionError: it does not.
    """
    async with engine.connect() as connection:
        return _compatible(await connection.run_sync(read_status))


def check_schema_sync(engine: Engine) -> SchemaStatus:
    """Make sure, when a service starts, that this version works with the database.

    Raises:
        SchemaVersionError: it does not.
    """
    with engine.connect() as connection:
        return _compatible(read_status(connection))


def note_served(revision: str | None) -> str:
    """The statement that writes on the version table what a revision's schema serves.

    Args:
        revision: Where the database is now; None if it has no revision any more.
    """
    for script in _scripts().iterate_revisions(revision, "base") if revision else ():
        if serves := served_by(script):
            return f"COMMENT ON TABLE {VERSION_TABLE} IS 'serves {serves} and later'"
    return f"COMMENT ON TABLE {VERSION_TABLE} IS NULL"


def served_by(script: Script) -> str | None:
    """The oldest head that a contract revision leaves served; None if it drops nothing."""
    return getattr(script.module, "serves", None)


def _compatible(status: SchemaStatus) -> SchemaStatus:
    if not status.is_compatible:
        missing = len(status.pending)
        reason = f"the database is {status}"
        if missing:
            reason = f"the database is behind by {missing} migrations: run `cartsnitch db upgrade`"
        raise SchemaVersionError(SETTING, reason)
    return status


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
