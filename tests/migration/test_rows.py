"""What becomes of rows while the schema changes under them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest
from alembic import command

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.revisions import alembic_config, read_status, scripts_folder, status_of
from tests.migration.filling import ROWS, checksums, columns, derived, fill

IDS = [revision.id for revision in status_of(None).pending]


@pytest.fixture
def go(empty: Settings) -> Iterator[Callable[[str], None]]:
    """Go up or down to a revision on one connection, which saves most of a run's time."""
    with migrate.exclusive_connection(empty) as connection:

        def go(revision: str) -> None:
            config = alembic_config()
            config.attributes["connection"] = connection
            at = read_status(connection).current
            connection.rollback()
            step = command.upgrade if position(at) < position(revision) else command.downgrade
            step(config, revision)

        yield go


def is_migrate(revision: str) -> bool:
    text = (scripts_folder() / "versions" / f"{revision}.py").read_text()
    return "\nPhase: migrate." in text


def position(revision: str | None) -> int:
    return IDS.index(revision) if revision in IDS else -1


def test_rows_survive_every_revision_up_down_and_up(
    go: Callable[[str], None], empty: Settings
) -> None:
    """With 1,000 rows in every table, no revision changes one of them, nor does taking it back."""
    with psycopg.connect(empty.require_database_url(), autocommit=True) as connection:
        before = "base"
        for revision in IDS:
            there = columns(connection)
            # What follows from other rows is what a migrate step is there to make.
            made = derived(connection) if is_migrate(revision) else set()
            kept = {table: names for table, names in there.items() if table not in made}
            rows = checksums(connection, kept)
            go(revision)
            assert checksums(connection, kept) == rows, f"{revision} up"
            fill(connection)
            go(before)
            assert columns(connection) == there, f"{revision} down"
            assert checksums(connection, kept) == rows, f"{revision} down"
            go(revision)
            assert checksums(connection, kept) == rows, f"{revision} up again"
            fill(connection)
            before = revision
        counted = {
            table: found[0] for table, found in checksums(connection, columns(connection)).items()
        }
    assert {table for table, count in counted.items() if count < ROWS} <= {"stores"}
    assert counted["stores"] == 3
