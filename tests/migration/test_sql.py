"""Migrations as SQL: what a linter of migrations says, and whether it makes the same schema."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from psycopg.pq import TransactionStatus

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.revisions import alembic_config, status_of
from tests.catalog import catalog
from tests.migration.conftest import History

SQUAWK = Path(sys.executable).with_name("squawk")
IDS = [revision.id for revision in status_of(None).pending]

# The rules that may be broken, by which lines, and why.
EXCUSED = {
    # A text is never longer than the contract says; a longer limit rewrites nothing.
    "prefer-text-field": r"VARCHAR\(",
    # A consumer gives up after a handful of deliveries.
    "prefer-bigint-over-int": r"^    deliveries INTEGER",
    # A name of 500 characters has at most 250 words.
    "prefer-bigint-over-smallint": r"^    token_count SMALLINT",
    # IF NOT EXISTS would skip an index that is INVALID; the runner builds it again.
    "prefer-robust-stmts": r"^CREATE INDEX CONCURRENTLY",
    # A table with the same name, columns and rows takes its place in the same transaction.
    "renaming-table": r"event_log RENAME TO event_log_first",
    # A partition has the key of its table.
    "ban-drop-constraint": r"event_log_first DROP CONSTRAINT pk_event_log",
}


def as_sql(span: str) -> str:
    config = alembic_config()
    config.output_buffer = written = io.StringIO()
    command.upgrade(config, span, sql=True)
    return written.getvalue()


def findings(folder: Path, ids: list[str]) -> list[str]:
    """What squawk finds in each revision for itself, as it would run on tables with rows."""
    texts = {}
    for before, revision in zip(["base", *ids], ids, strict=False):
        file = folder / f"{revision}.sql"
        texts[str(file)] = text = as_sql(f"{before}:{revision}")
        file.write_text(text)
    done = subprocess.run(
        [SQUAWK, "--pg-version=15", "--reporter=json", *texts],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("["), done.stderr
    found = []
    for each in json.loads(done.stdout):
        line = texts[each["file"]].splitlines()[each["line"]]
        excuse = EXCUSED.get(each["rule_name"])
        if excuse is None or not re.search(excuse, line):
            found.append(f"{Path(each['file']).stem}: {each['rule_name']}: {line.strip()}")
    return found


def test_a_linter_of_migrations_has_nothing_to_say(tmp_path: Path) -> None:
    """No revision locks a table for long, nor breaks the code that runs meanwhile."""
    assert findings(tmp_path, IDS) == []


def test_the_linter_bites(history: History, tmp_path: Path) -> None:
    """A dangerous revision is found: an index that stops writers, a column without a default."""
    made = [
        history.add("index", "op.create_index('ix_try', 'stores', ['name'])"),
        history.add("gone", "op.drop_column('stores', 'logo_url')"),
        history.add("checked", "op.create_check_constraint('ck_try', 'stores', 'name > id::text')"),
    ]
    found = findings(tmp_path, [*IDS, *made])
    assert [each.partition(": ")[0] for each in found] == made
    for rule in (
        "require-concurrent-index-creation",
        "ban-drop-column",
        "constraint-missing-not-valid",
    ):
        assert rule in " ".join(found)


def test_the_script_makes_the_same_schema(
    empty: Settings, empty_database: str, database: str
) -> None:
    """Who may run nothing but SQL in production gets what the command makes."""
    run(empty_database)
    assert migrate.check(empty).is_at_head
    assert catalog(empty_database) == catalog(database)


def test_another_schema_in_front_gets_nothing(
    empty: Settings, empty_database: str, database: str
) -> None:
    """All is made in public, and the steps outside a transaction have no limits, as in a run."""
    name = empty_database.rpartition("/")[2]
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA theirs")
        for setting in ("search_path = theirs, public", "statement_timeout = '9s'"):
            connection.execute(f"ALTER DATABASE {name} SET {setting}")  # type: ignore[arg-type]
    limits = run(empty_database)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        for setting in ("search_path", "statement_timeout"):
            connection.execute(f"ALTER DATABASE {name} RESET {setting}")  # type: ignore[arg-type]
        here = "SELECT relname FROM pg_class WHERE relnamespace = 'theirs'::regnamespace"
        assert connection.execute(here).fetchall() == []
    assert migrate.check(empty).is_at_head
    assert catalog(empty_database) == catalog(database)
    assert limits == {"0"}


def run(url: str) -> set[Any]:
    """Run the script up to the head; return the limits on time outside its transactions."""
    limits = set()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in as_sql("head").split(";\n\n"):
            connection.execute(statement)  # type: ignore[arg-type]
            if connection.info.transaction_status == TransactionStatus.IDLE:
                limits |= set(connection.execute("SHOW statement_timeout").fetchone() or ())
    return limits
