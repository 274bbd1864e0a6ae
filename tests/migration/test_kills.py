"""A runner that is killed leaves a database that the next run brings to its head."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import psycopg

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.revisions import status_of
from tests.catalog import catalog
from tests.migration.conftest import History

IDS = [revision.id for revision in status_of(None).pending]

# For each revision a child that upgrades, and kills itself once it has applied that
# one and noted it, before its transaction commits. The last one is left alive.
KILLED = """
import json, os, signal, sys
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
settings = Settings.load()
ends = []
for revision in [*json.loads(sys.argv[1]), None]:
    child = os.fork()
    if not child:
        def kill(applied):
            if applied.id == revision:
                os.kill(os.getpid(), signal.SIGKILL)
        migrate.upgrade(settings, on_applied=kill)
        os._exit(0)
    ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(ends))
"""

INDEX = """\
with op.get_context().autocommit_block():
        op.create_index("ix_stores_name", "stores", ["name"], postgresql_concurrently=True)
"""


def test_a_runner_that_is_killed_at_each_revision_heals(
    empty: Settings, empty_database: str, database: str
) -> None:
    """SIGKILL before the commit of each revision, one after another; the next run goes on."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED, json.dumps(IDS)],
        env={"CARTSNITCH_DATABASE_URL": empty_database, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [-signal.SIGKILL] * len(IDS) + [0]
    assert migrate.check(empty).is_at_head
    assert catalog(empty_database) == catalog(database)


def state(connection: psycopg.Connection[Any]) -> Any:
    query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('ix_stores_name')"
    return connection.execute(query).fetchone()


def wait_for(connection: psycopg.Connection[Any], query: str) -> tuple[Any, ...]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if found := connection.execute(query).fetchone():
            return found
        time.sleep(0.01)
    raise AssertionError(query)


BUILDING = "SELECT pid FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
DROPPING = """SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()
              AND query LIKE '%DROP INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"""


def test_a_build_that_is_killed_is_done_again(
    history: History, at_head: Settings, database: str
) -> None:
    """The runner dies in a concurrent build, and the server ends the build: an INVALID index."""
    made = history.add("index", INDEX)
    with psycopg.connect(database, autocommit=True) as connection:
        with psycopg.connect(database) as writer:
            writer.execute("INSERT INTO stores (name, slug) VALUES ('M', 'meijer')")
            runner = history.start(database)
            runner.wait_until_ready()
            runner.go()
            (pid,) = wait_for(connection, BUILDING)
            os.kill(runner.process.pid, signal.SIGKILL)
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            runner.kill()
            writer.commit()
        assert state(connection) == (False,)
        assert migrate.upgrade(at_head).after == made
        assert state(connection) == (True,)


def test_an_orphaned_build_does_not_stop_the_next_run(history: History, database: str) -> None:
    """The server goes on with the build of a dead runner while the next run is there already."""
    made = history.add("index", INDEX)
    with psycopg.connect(database, autocommit=True) as connection:
        first, second = history.start(database), history.start(database)
        with psycopg.connect(database) as writer:
            writer.execute("INSERT INTO stores (name, slug) VALUES ('M', 'meijer')")
            for runner in (first, second):
                runner.wait_until_ready()
            first.go()
            wait_for(connection, BUILDING)
            first.kill()
            second.go()
            wait_for(connection, DROPPING)
            writer.commit()
        assert second.answer() == (made, [made])
        assert state(connection) == (True,)
