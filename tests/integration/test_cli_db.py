from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from cartsnitch_common.cli.db import app
from cartsnitch_common.db import migrate
from cartsnitch_common.db.revisions import status_of
from cartsnitch_common.db.seed import STORES
from cartsnitch_common.errors import SetupError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(url: str, *arguments: str) -> Any:
        monkeypatch.setenv("CARTSNITCH_DATABASE_URL", url)
        return CliRunner().invoke(app, arguments)

    return run


def test_upgrade_shows_each_migration(run: Any, empty_database: str) -> None:
    """An operator sees what was applied, and a second run has nothing to do."""
    done = run(empty_database, "upgrade")
    (head,) = migrate.heads()
    lines = done.output.splitlines()
    assert done.exit_code == 0, done.output
    assert lines[0] == "applied 0001_stores: Make the stores."
    assert lines[-1] == f"the database is at revision {head}"
    done = run(empty_database, "upgrade")
    assert done.output.splitlines() == [f"the database is at revision {head}"]


def test_upgrade_tells_machines(run: Any, empty_database: str) -> None:
    """With --json the only output is one object."""
    done = run(empty_database, "upgrade", "0002_store_locations", "--json")
    answer = json.loads(done.output)
    assert answer["before"] is None
    assert answer["after"] == "0002_store_locations"
    assert answer["applied"][0] == {"id": "0001_stores", "title": "Make the stores."}


def test_check_answers_by_its_exit_code(run: Any, empty_database: str) -> None:
    """0 at the head, 4 behind it, with the distance, and 5 ahead of it."""
    ids = [revision.id for revision in status_of(None).pending]
    head = ids[-1]
    done = run(empty_database, "check")
    assert done.exit_code == 4
    assert done.output == f"behind by {len(ids)}: at none, the head is {head}\n"
    run(empty_database, "upgrade", ids[-2])
    done = run(empty_database, "check", "--json")
    assert done.exit_code == 4
    answer = json.loads(done.output)
    assert answer["state"] == "behind"
    assert [waiting["id"] for waiting in answer["pending"]] == [head]
    run(empty_database, "upgrade")
    done = run(empty_database, "check")
    assert (done.exit_code, done.output) == (0, f"at head: {head}\n")
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999_later'")
    done = run(empty_database, "check")
    assert done.exit_code == 5
    assert done.output.startswith("ahead: this library is older than the database")
    assert json.loads(run(empty_database, "check", "--json").output)["state"] == "ahead"


def test_check_names_each_difference(run: Any, database: str) -> None:
    """A schema that somebody changed by hand is 6, with one line for each change."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE stores ALTER name DROP NOT NULL")
        connection.execute("DROP INDEX ix_coupons_store_id_valid_to")
    done = run(database, "check")
    assert done.exit_code == 6
    assert done.output.splitlines() == [
        'drift: column stores.name: nullability is "null", not "not null"',
        "drift: index coupons.ix_coupons_store_id_valid_to: is missing",
    ]
    answer = json.loads(run(database, "check", "--json").output)
    assert (answer["state"], len(answer["drift"])) == ("drift", 2)


def test_upgrade_after_a_rollback_is_no_failure(run: Any, database: str) -> None:
    """An older version's deployment goes on, on a database that still serves it."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999_later'")
        done = run(database, "upgrade")
        assert done.exit_code == 0
        assert done.output == (
            "the database is at revision 9999_later, which is newer than this version and still"
            " serves it\n"
        )
        connection.execute(f"COMMENT ON TABLE {migrate.VERSION_TABLE} IS 'serves 9998_x and later'")
    assert isinstance(run(database, "upgrade").exception, SetupError)


def test_seed_writes_what_is_missing(run: Any, database: str) -> None:
    """The three stores are there afterwards, however often it runs; what was there stays."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("INSERT INTO stores (name, slug) VALUES ('Ours', 'target')")
        done = run(database, "seed", "--json")
        assert json.loads(done.output) == {"written": ["meijer", "kroger"], "stores": 3}
        done = run(database, "seed")
        assert done.output == "0 of 3 stores written, the others were there\n"
        found = connection.execute("SELECT slug, name, website_url, id FROM stores").fetchall()
    assert {row[0]: row[1] for row in found} == {
        "meijer": "Meijer",
        "kroger": "Kroger",
        "target": "Ours",
    }
    for store in STORES[:2]:
        assert (store.slug.value, store.name, store.website_url, store.id) in found


def test_seed_needs_the_schema(run: Any, empty_database: str) -> None:
    """On an empty database it says what to do."""
    done = run(empty_database, "seed")
    assert isinstance(done.exception, SetupError)
    assert str(done.exception).endswith("run `cartsnitch db upgrade`")


@pytest.mark.parametrize("command", ["upgrade", "check", "seed"])
def test_without_a_setting_each_command_names_it(run: Any, command: str) -> None:
    """The error that the command line turns into one line is the setting's."""
    done = run("", command)
    assert str(done.exception) == "CARTSNITCH_DATABASE_URL: is not set"
