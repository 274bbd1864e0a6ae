from __future__ import annotations

import json
import os
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, NullPool
from typer.testing import CliRunner

from cartsnitch_common.cli.db import app
from cartsnitch_common.config import Settings
from cartsnitch_common.db import rotation
from cartsnitch_common.db.crypto import Place, token_head
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.rotation import RotationResult, count_outdated, rotate, rows_by_key
from cartsnitch_common.errors import InputError, SetupError
from tests.sessions import add_accounts, keyring, read_sessions, setting

OLD = keyring(1)
RING = keyring(2, 1)
ACCOUNTS = 30


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def engine(database: str) -> Engine:
    return sync_engine(Settings.load(database_url=database), poolclass=NullPool)


@pytest.fixture
def sessions(connection: psycopg.Connection[Any]) -> dict[uuid.UUID, Any]:
    """The sessions of accounts under the old key, by id."""
    return add_accounts(connection, OLD, ACCOUNTS)


def by_key(engine: Engine) -> dict[str | None, int]:
    with engine.connect() as connection:
        return rows_by_key(connection)


def result(rotated: int, **others: Any) -> RotationResult:
    return RotationResult(
        rotated=rotated, **{"unreadable": 0, "unreadable_ids": (), "left": 0, **others}
    )


def test_every_session_comes_under_the_newest_key(
    engine: Engine, connection: Any, sessions: dict[uuid.UUID, Any]
) -> None:
    """The sessions stay what they were; a row that needs nothing is not written."""
    assert by_key(engine) == {"key-1": ACCOUNTS}
    seen: list[int] = []
    done = rotate(engine, RING, batch_size=7, on_batch=seen.append)
    assert done == result(ACCOUNTS)
    assert done.is_complete
    assert seen == [7, 7, 7, 7, 2]
    assert by_key(engine) == {"key-2": ACCOUNTS}
    assert read_sessions(connection, keyring(2)) == sessions
    versions = connection.execute("SELECT id, xmin FROM user_store_accounts").fetchall()
    assert rotate(engine, RING) == result(0)
    assert connection.execute("SELECT id, xmin FROM user_store_accounts").fetchall() == versions


def test_a_run_that_ended_early_is_gone_on_with(
    engine: Engine, connection: Any, sessions: dict[uuid.UUID, Any]
) -> None:
    """What was committed stays, and the next run does the rest."""

    def stop(_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate(engine, RING, batch_size=10, on_batch=stop)
    assert by_key(engine) == {"key-1": ACCOUNTS - 10, "key-2": 10}
    assert read_sessions(connection, RING) == sessions
    assert rotate(engine, RING) == result(ACCOUNTS - 10)


def test_a_newer_session_is_never_replaced(
    engine: Engine, database: str, connection: Any, sessions: dict[uuid.UUID, Any]
) -> None:
    """A session that a service writes during a rotation is the one that is there after it."""
    row = next(iter(sessions))
    place = Place("user_store_accounts", "session_data", str(row))
    newer = RING.encrypt(b'{"cookie":"newer"}', place)
    begun = threading.Event()
    with psycopg.connect(database) as writer, ThreadPoolExecutor(1) as thread:
        change = "UPDATE user_store_accounts SET session_data = %s WHERE id = %s"
        writer.execute(change, [newer, row])
        rotating = thread.submit(rotate, engine, RING, on_batch=lambda _: begun.set())
        assert begun.wait(20)
        writer.commit()
        assert rotating.result(20) == result(ACCOUNTS - 1)
    assert read_sessions(connection, keyring(2)) == sessions | {row: {"cookie": "newer"}}


def test_rows_that_others_hold_are_left_and_told(
    engine: Engine, connection: Any, sessions: dict[uuid.UUID, Any], monkeypatch: Any
) -> None:
    """A rotation waits for nobody: what it could not lock is counted, for the next run."""
    monkeypatch.setattr(rotation, "_PASSES", 2)
    held = list(sessions)[:3]
    with connection.transaction():
        query = "SELECT FROM user_store_accounts WHERE id = ANY(%s) FOR UPDATE"
        connection.execute(query, [held])
        done = rotate(engine, RING)
        assert done == result(ACCOUNTS - 3, left=3)
        assert not done.is_complete
    assert rotate(engine, RING) == result(3)


def test_two_rotations_at_once_share_the_work(
    engine: Engine, connection: Any, sessions: dict[uuid.UUID, Any]
) -> None:
    """Neither waits for the other for long, and each row is rotated once."""
    with ThreadPoolExecutor(2) as threads:
        results = list(threads.map(lambda _: rotate(engine, RING, batch_size=3), range(2)))
    assert sum(done.rotated for done in results) == ACCOUNTS
    assert all(done.is_complete for done in results)
    assert read_sessions(connection, keyring(2)) == sessions


def unreadable(connection: Any, sessions: dict[uuid.UUID, Any]) -> dict[uuid.UUID, bytes]:
    """Make rows that cannot be decrypted, in every way that there is."""
    ids = list(sessions)
    query = "SELECT id, session_data FROM user_store_accounts WHERE session_data IS NOT NULL"
    tokens = dict(connection.execute(query).fetchall())
    place = Place("user_store_accounts", "session_data", str(ids[3]))
    bad = {
        ids[0]: b"",
        ids[1]: tokens[ids[9]],
        ids[2]: tokens[ids[2]][:-1],
        ids[3]: keyring(5).encrypt(b"{}", place),
        ids[4]: b"\1",
        ids[5]: b"\1\xff\xff",
        ids[6]: b"gAAAAABoldtoken",
        ids[7]: token_head("key-2")[:-1],
    }
    change = "UPDATE user_store_accounts SET session_data = %s WHERE id = %s"
    connection.cursor().executemany(change, [(token, row) for row, token in bad.items()])
    return bad


def test_what_cannot_be_read_stays_and_is_named(
    engine: Engine, connection: Any, sessions: dict[uuid.UUID, Any]
) -> None:
    """Damaged rows, and those whose key is missing, are counted and not touched."""
    bad = unreadable(connection, sessions)
    done = rotate(engine, RING, batch_size=4)
    assert done == result(
        ACCOUNTS - len(bad), unreadable=len(bad), unreadable_ids=tuple(sorted(bad))
    )
    assert not done.is_complete
    query = "SELECT id, session_data FROM user_store_accounts WHERE id = ANY(%s)"
    assert dict(connection.execute(query, [list(bad)]).fetchall()) == bad
    with engine.connect() as counting:
        assert count_outdated(counting, RING) == len(bad)
    assert by_key(engine) == {"key-1": 2, "key-2": ACCOUNTS - len(bad), "key-5": 1, None: 5}


def test_only_the_first_unreadable_rows_are_named(
    engine: Engine, sessions: dict[uuid.UUID, Any]
) -> None:
    """With a wrong keyring every row is unreadable, and the answer stays short."""
    done = rotate(engine, keyring(3))
    assert done == result(
        0, unreadable=ACCOUNTS, unreadable_ids=tuple(sorted(sessions)[: rotation.NAMED_ROWS])
    )


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(keys: str, *arguments: str) -> Any:
        monkeypatch.setenv("CARTSNITCH_DATABASE_URL", database)
        monkeypatch.setenv("CARTSNITCH_ENCRYPTION_KEYS", keys)
        return CliRunner().invoke(app, arguments)

    return run


@pytest.mark.usefixtures("sessions")
def test_a_key_is_changed_by_the_commands(run: Any) -> None:
    """Listed, rotated, retired: a key that rows need, or that encrypts, is refused."""
    done = run(setting(2, 1), "keys")
    assert done.exit_code == 0
    assert done.output == f"key-2: 0 rows, encrypts\nkey-1: {ACCOUNTS} rows, decrypts\n"
    done = run(setting(2, 1), "keys", "--retire", "key-1")
    assert done.exit_code == 1
    assert f"key-1 is needed by {ACCOUNTS} rows: run `cartsnitch db rotate-keys`" in done.output
    done = run(setting(2, 1), "rotate-keys")
    assert (done.exit_code, done.stdout) == (0, f"{ACCOUNTS} sessions are under key-2 now\n")
    done = run(setting(2, 1), "keys", "--retire", "key-1")
    assert done.exit_code == 0
    assert done.output.endswith("key-1 may be removed: no row needs it\n")
    done = run(setting(2, 1), "keys", "--retire", "key-2")
    assert done.exit_code == 1
    assert done.output.endswith("key-2 seals new sessions: put another key first\n")


@pytest.mark.usefixtures("sessions")
def test_a_missing_key_is_an_alarm(run: Any) -> None:
    """A key that rows need and the setting lacks is listed, with exit code 1."""
    done = run(setting(2), "keys")
    assert done.exit_code == 1
    assert f"key-1: {ACCOUNTS} rows, is not in the setting\n" in done.output
    done = run(setting(2), "keys", "--json")
    assert (done.exit_code, json.loads(done.output)) == (
        1,
        {
            "encrypts": "key-2",
            "keys": [
                {"id": "key-2", "rows": 0, "in_setting": True},
                {"id": "key-1", "rows": ACCOUNTS, "in_setting": False},
            ],
        },
    )


def test_unreadable_rows_are_exit_code_1(
    run: Any, connection: Any, sessions: dict[uuid.UUID, Any]
) -> None:
    """The command names them for people and for machines."""
    bad = unreadable(connection, sessions)
    done = run(setting(2, 1), "rotate-keys")
    assert done.exit_code == 1
    assert f"{len(bad)} cannot be decrypted and stay as they are: {min(bad)}" in done.output
    done = run(setting(2, 1), "rotate-keys", "--json")
    answer = json.loads(done.stdout)
    assert done.exit_code == 1
    assert (answer["rotated"], answer["unreadable"], answer["left"]) == (0, len(bad), 0)
    assert answer["unreadable_ids"] == sorted(map(str, bad))
    assert answer["keys"]["key-2"] == ACCOUNTS - len(bad)


@pytest.mark.parametrize("command", ["keys", "rotate-keys"])
def test_without_keys_the_setting_is_named(run: Any, command: str) -> None:
    """The commands need the keys and say so."""
    done = run("", command)
    assert isinstance(done.exception, SetupError)
    assert str(done.exception) == "CARTSNITCH_ENCRYPTION_KEYS: is not set"


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize("mistyped", ["key-9", "", "kye-1", "key", "key-1 ", "KEY-1", "None"])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_key_that_nobody_knows_is_no_answer(run: Any, mistyped: str, more: list[str]) -> None:
    """Whoever mistypes an id is not told that the key they mean may be removed."""
    for place in (setting(2), setting(2, 1)):  # also where the setting lacks one that rows need
        done = run(place, "keys", "--retire", mistyped, *more)
        assert isinstance(done.exception, InputError)
        assert str(done.exception) == "--retire: is none of the keys: key-2, key-1"
        assert done.stdout == ""


def test_random_bytes_are_counted(engine: Engine, connection: Any) -> None:
    """Whatever bytes a column holds, counting them by key fails at none."""
    rows = add_accounts(connection, OLD, 60)
    change = "UPDATE user_store_accounts SET session_data = %s WHERE id = %s"
    tokens = [(b"\1" * (n % 2) + os.urandom(n // 2), row) for n, row in enumerate(rows)]
    connection.cursor().executemany(change, tokens)
    assert sum(by_key(engine).values()) == 60
    assert rotate(engine, RING).unreadable == 60
