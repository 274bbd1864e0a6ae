"""The migrations as they are on disk, and where a database stands among them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.config import Config
from alembic.script import ScriptDirectory

if TYPE_CHECKING:
    from alembic.script import Script


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

    @property
    def is_at_head(self) -> bool:
        """Whether the schema is the one of this version."""
        return self.current == self.head

    @property
    def is_ahead(self) -> bool:
        """Whether the database's revision is not known here: a newer version made it."""
        return not self.is_at_head and not self.pending


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


def as_revision(script: Script) -> Revision:
    """What Alembic knows of a migration."""
    return Revision(id=script.revision, title=script.doc)


def status_of(current: str | None) -> SchemaStatus:
    """Where a database at a revision stands."""
    scripts = _scripts()
    (head,) = scripts.get_heads()
    known = [as_revision(script) for script in scripts.walk_revisions()][::-1]
    ids = [None, *(revision.id for revision in known)]
    behind = known[ids.index(current) :] if current in ids else []
    return SchemaStatus(current=current, head=head, pending=tuple(behind))


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(alembic_config())
