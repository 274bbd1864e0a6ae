from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.rotation import rows_by_key
from tests.sessions import add_accounts, keyring, read_sessions, setting

pytestmark = [pytest.mark.kill]

ACCOUNTS = 300
KILLS = 20

# Each line on stdin is a keyring. A process of its own rotates with it; its id is said, and
# how it ended. All is imported before, so that a kill never meets a process that only loads.
ROTATIONS = """
import os, sys
from sqlalchemy import NullPool
from cartsnitch_common.config import Settings
from cartsnitch_common.db.crypto import Keyring
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.rotation import rotate
for line in sys.stdin:
    child = os.fork()
    if not child:
        settings = Settings.load(encryption_keys=line)
        engine = sync_engine(settings, poolclass=NullPool)
        done = rotate(engine, Keyring.from_settings(settings), batch_size=2)
        os._exit(0 if done.is_complete else 1)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Rotations:
    """Starts processes that rotate, one after the other."""

    def __init__(self, url: str) -> None:
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", ROTATIONS],
            env={"CARTSNITCH_DATABASE_URL": url, "PYTHONPATH": ":".join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, keys: str) -> int:
        """Start one; its process id."""
        assert self._parent.stdin is not None
        self._parent.stdin.write(f"{keys}\n")
        self._parent.stdin.flush()
        return self._answer()

    def end(self) -> int:
        """Wait for it: 0 when it has done all, the signal when it was killed."""
        return self._answer()

    def close(self) -> None:
        """End what starts them."""
        self._parent.communicate(timeout=20)

    def _answer(self) -> int:
        assert self._parent.stdout is not None
        return int(self._parent.stdout.readline())


@pytest.fixture
def rotations(database: str) -> Iterator[Rotations]:
    rotations = Rotations(database)
    yield rotations
    rotations.close()


def test_a_killed_rotation_leaves_every_session_readable(
    database: str, rotations: Rotations
) -> None:
    """Killed twenty times over five keys, no session is ever lost, and the last run ends it.

    No run before that is let end, so that the rows are under all five keys in between.
    """
    engine = sync_engine(Settings.load(database_url=database))
    numbers = random.Random()  # noqa: S311 - when to kill is no secret
    mixed = 0
    with psycopg.connect(database, autocommit=True) as connection, engine.connect() as counting:
        sessions = add_accounts(connection, keyring(1), ACCOUNTS)
        for kill in range(KILLS):
            newest = 2 + kill * 4 // KILLS
            order = range(newest, 0, -1)
            enough = rows_by_key(counting).get(f"key-{newest}", 0) + numbers.randint(3, 40)
            process = rotations.start(setting(*order))
            deadline = time.monotonic() + 20
            while rows_by_key(counting).get(f"key-{newest}", 0) < enough:
                assert time.monotonic() < deadline
            os.kill(process, signal.SIGKILL)
            assert rotations.end() == signal.SIGKILL
            assert read_sessions(connection, keyring(*order)) == sessions
            mixed = max(mixed, len(rows_by_key(counting)))
        assert mixed > 2
        rotations.start(setting(5, 4, 3, 2, 1))
        assert rotations.end() == 0
        assert rows_by_key(counting) == {"key-5": ACCOUNTS}
        assert read_sessions(connection, keyring(5)) == sessions
    engine.dispose()
