"""What a database holds, as `cartsnitch db check` reads it, for tests that compare two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import NullPool

from cartsnitch_common.config import Settings
from cartsnitch_common.db.catalog import read_catalog
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.revisions import VERSION_TABLE

if TYPE_CHECKING:
    from cartsnitch_common.db.catalog import Facts


def catalog(url: str) -> Facts:
    """Everything in the schema public but the version table."""
    engine = sync_engine(Settings.load(database_url=url), poolclass=NullPool)
    with engine.connect() as connection:
        facts = read_catalog(connection)
    return {
        key: value
        for key, value in facts.items()
        if key.partition(" ")[2].partition(".")[0] != VERSION_TABLE
    }


def of_kind(facts: Facts, kind: str) -> dict[str, dict[str, str]]:
    """The objects of one kind, such as ``table``, by name."""
    return {
        key.removeprefix(f"{kind} "): value
        for key, value in facts.items()
        if key.startswith(f"{kind} ")
    }


def tables(facts: Facts) -> set[str]:
    """The names of the tables."""
    return set(of_kind(facts, "table"))


def constraints(facts: Facts, beginning: str) -> dict[str, str]:
    """The definitions by name of the constraints that begin with a word, such as ``CHECK``."""
    return {
        name.partition(".")[2]: value["definition"]
        for name, value in of_kind(facts, "constraint").items()
        if value["definition"].startswith(beginning)
    }
