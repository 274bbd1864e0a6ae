"""Runs of migrations: from nothing to the head and back, several at once, and what stops them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.migrate import MigrationError
from cartsnitch_common.db.revisions import alembic_config, scripts_folder, status_of
from tests.catalog import catalog, tables
from tests.migration.conftest import History

IDS = [revision.id for revision in status_of(None).pending]


def test_up_down_and_up_again(empty: Settings, empty_database: str) -> None:
    """Every downgrade takes back all that its upgrade made, and no more."""
    up = migrate.upgrade(empty)
    assert (up.before, up.after) == (None, IDS[-1])
    assert [done.id for done in up.applied] == IDS
    first = catalog(empty_database)
    down = migrate.downgrade(empty, "base")
    assert (down.before, down.after) == (IDS[-1], None)
    assert catalog(empty_database) == {}
    migrate.upgrade(empty)
    assert catalog(empty_database) == first


def test_each_step_is_a_stop_of_its_own(empty: Settings) -> None:
    """An upgrade goes to the revision that was asked for, and a check counts what is left."""
    for number, revision in enumerate(IDS, 1):
        result = migrate.upgrade(empty, revision)
        assert [done.id for done in result.applied] == [revision]
        status = migrate.check(empty)
        assert [waiting.id for waiting in status.pending] == IDS[number:]
        assert status.is_at_head == (number == len(IDS))
        assert not status.is_ahead


def test_an_upgrade_at_head_does_nothing(database: str) -> None:
    """It may be run at every start."""
    result = migrate.upgrade(Settings.load(database_url=database))
    assert (result.before, result.after, result.applied) == (IDS[-1], IDS[-1], ())


def test_eight_upgrades_at_once_apply_each_migration_once(
    history: History, empty_database: str
) -> None:
    """Eight replicas that start together all succeed, and share the work without repeating it."""
    runners = [history.start(empty_database) for _ in range(8)]
    try:
        for runner in runners:
            runner.wait_until_ready()
        for runner in runners:
            runner.go()
        answers = [runner.answer() for runner in runners]
    finally:
        for runner in runners:
            runner.kill()
    assert [after for after, _ in answers] == [IDS[-1]] * 8
    assert sorted(revision for _, applied in answers for revision in applied) == IDS


def test_other_programs_in_the_database_are_left_alone(
    empty: Settings, empty_database: str
) -> None:
    """Their tables survive up and down, autogenerate sees none, nor is their version table used."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
        connection.execute("INSERT INTO alembic_version VALUES ('0001_of_others')")
        connection.execute("CREATE TABLE invoices (id int PRIMARY KEY, note text)")
        connection.execute("CREATE INDEX ix_note ON invoices (note)")
        connection.execute("INSERT INTO invoices VALUES (1, 'theirs')")
        before = catalog(empty_database)
        migrate.upgrade(empty)
        engine = sync_engine(empty)
        with engine.connect() as own:
            config = alembic_config()
            config.attributes["connection"] = own
            command.check(config)
        engine.dispose()
        migrate.downgrade(empty, "base")
        assert catalog(empty_database) == before
        assert connection.execute("SELECT * FROM invoices").fetchall() == [(1, "theirs")]
        assert connection.execute("SELECT * FROM alembic_version").fetchall() == [
            ("0001_of_others",)
        ]


def test_a_lock_that_never_comes_free_ends_the_run(
    empty: Settings, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its attempts the upgrade says where it stopped; what was applied stays."""
    monkeypatch.setattr(migrate, "_ATTEMPTS", 2)
    migrate.upgrade(empty, "0001_stores")
    with psycopg.connect(empty_database) as connection:
        connection.execute("LOCK TABLE stores IN ROW EXCLUSIVE MODE")
        with pytest.raises(MigrationError, match=r"at revision 0001_stores: a long .*\(55P03\)"):
            migrate.upgrade(empty)
    assert migrate.current(empty) == "0001_stores"


@pytest.mark.parametrize("state", ["40P01", "40001", "55P03"])
def test_what_met_others_is_tried_again(history: History, at_head: Settings, state: str) -> None:
    """A deadlock, a row that another wrote, a lock: the run goes on from where it stopped."""
    with psycopg.connect(at_head.require_database_url(), autocommit=True) as connection:
        connection.execute("CREATE SEQUENCE tries")
        made = history.add(
            "unlucky",
            "op.execute(\"DO $$ BEGIN IF nextval('tries') < 3 THEN"
            f" RAISE 'unlucky' USING ERRCODE = '{state}'; END IF; END $$\")",
        )
        result = migrate.upgrade(at_head)
        assert (result.after, len(result.applied)) == (made, 1)
        assert connection.execute("SELECT last_value FROM tries").fetchone() == (3,)


def test_a_table_of_that_name_is_not_touched(empty: Settings, empty_database: str) -> None:
    """A migration that meets another program's table fails in one line and is rolled back."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (login text)")
        with pytest.raises(MigrationError) as failed:
            migrate.upgrade(empty)
        assert str(failed.value) == (
            "CARTSNITCH_DATABASE_URL: stopped at revision 0002_store_locations:"
            ' relation "users" already exists (42P07)'
        )
        assert tables(catalog(empty_database)) == {"stores", "store_locations", "users"}
        connection.execute("DROP TABLE users")
    assert migrate.upgrade(empty).after == IDS[-1]


def test_a_user_without_rights_is_one_line(empty_database: str) -> None:
    """A login that may not create tables is told so."""
    name = "reader_of_migrations"
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {name}")
        connection.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'canary'")
    url = re.sub(r"//[^@]*@", f"//{name}:canary@", empty_database)
    with pytest.raises(MigrationError, match=r"permission denied for schema public \(42501\)"):
        migrate.upgrade(Settings.load(database_url=url))


def test_nothing_of_a_run_stays_on_the_server(empty: Settings, empty_database: str) -> None:
    """A run leaves no connection and no lock."""
    migrate.upgrade(empty)
    with psycopg.connect(empty_database) as connection:
        others = """SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid()
                    AND backend_type = 'client backend'"""
        deadline = time.monotonic() + 5
        while connection.execute(others).fetchone() != (0,):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            connection.rollback()
        locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        assert connection.execute(locks).fetchone() == (0,)


def test_a_run_outlives_the_servers_limits_on_idling(empty: Settings, empty_database: str) -> None:
    """The lock's connection is idle in its transaction while migrations run, and stays."""
    with psycopg.connect(empty_database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET idle_in_transaction_session_timeout = 200")
        with migrate.exclusive_connection(empty):
            time.sleep(0.6)
            held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted"
            assert connection.execute(held).fetchone() == (1,)


def test_an_index_can_be_built_while_runners_wait(empty: Settings) -> None:
    """The lock that runners hold and wait for delays no CREATE INDEX CONCURRENTLY."""
    migrate.upgrade(empty)
    waiting = threading.Thread(target=migrate.upgrade, args=[empty], daemon=True)
    with migrate.exclusive_connection(empty) as connection:
        waiting.start()
        time.sleep(0.5)
        free = connection.execution_options(isolation_level="AUTOCOMMIT")
        free.exec_driver_sql("SET statement_timeout = '10s'")
        free.exec_driver_sql("CREATE INDEX CONCURRENTLY ix_try ON stores (name)")
    waiting.join(30)
    assert not waiting.is_alive()


def test_the_alembic_command_works_from_anywhere(empty_database: str, tmp_path: Path) -> None:
    """Those who write migrations use Alembic itself, whose errors are one line as well."""
    alembic = [sys.executable, "-m", "alembic", "-c", str(scripts_folder().parent / "alembic.ini")]
    environment: dict[str, Any] = {"PYTHONPATH": ":".join(path for path in sys.path if path)}

    def run(*arguments: str, url: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*alembic, *arguments],
            cwd=tmp_path,
            env=environment | {"CARTSNITCH_DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    done = run("upgrade", "head", url=empty_database)
    assert done.returncode == 0, done.stderr
    assert tables(catalog(empty_database)) >= {"stores", "coupons"}
    done = run("upgrade", "head", url="postgresql://u:canary@127.0.0.1:1/x")
    assert done.returncode != 0
    assert "CARTSNITCH_DATABASE_URL: the connection was refused" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stdout + done.stderr
