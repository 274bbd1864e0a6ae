"""A history of migrations that a test may add to, run as operators run the real one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate, revisions
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.testing.plugin import _own_database

# Waits for a line on stdin when it is ready, so that all begin at once.
RUNNER = """
import json, sys
from pathlib import Path
from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate, revisions
folder = Path(sys.argv[1])
revisions.scripts_folder = lambda: folder
settings = Settings.load()
print("ready", flush=True)
sys.stdin.readline()
result = migrate.upgrade(settings)
print(json.dumps([result.after, [done.id for done in result.applied]]))
"""

REVISION = '''"""{title}"""

import sqlalchemy as sa
from alembic import op

revision = "{id}"
down_revision = "{before}"
{more}

def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


@dataclass(frozen=True, slots=True)
class History:
    """A copy of the project's migrations, with a head of its own."""

    folder: Path

    def add(
        self,
        name: str,
        up: str = "pass",
        *,
        down: str = "pass",
        more: str = "",
        title: str = "Try.",
    ) -> str:
        """Write a revision behind the head; return its id."""
        (before,) = migrate.heads()
        made = f"{int(before[:4]) + 1:04}_{name}"
        text = REVISION.format(id=made, before=before, up=up, down=down, more=more, title=title)
        (self.folder / "versions" / f"{made}.py").write_text(text)
        return made

    def start(self, url: str) -> Runner:
        """Start a process that upgrades to the head when it is told."""
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RUNNER, str(self.folder)],
            env={"CARTSNITCH_DATABASE_URL": url, "PYTHONPATH": ":".join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return Runner(process)


@dataclass(frozen=True, slots=True)
class Runner:
    """A process that upgrades."""

    process: subprocess.Popen[str]

    def wait_until_ready(self) -> None:
        """Return when it has imported everything."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", self.process.communicate()[1]

    def go(self) -> None:
        """Let it begin."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def answer(self) -> tuple[str, list[str]]:
        """What it has reached, and what it applied itself."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        after, applied = json.loads(out)
        return after, applied

    def kill(self) -> None:
        """End it with no chance to clean up."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    """The project's migrations, to which the test may add."""
    folder = tmp_path / "alembic"
    shutil.copytree(
        revisions.scripts_folder(), folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    monkeypatch.setattr(revisions, "scripts_folder", lambda: folder)
    return History(folder)


@pytest.fixture
def empty(empty_database: str) -> Settings:
    """Settings for a database with nothing in it."""
    return Settings.load(database_url=empty_database)


@pytest.fixture
def at_head(database: str) -> Settings:
    """Settings for a database at the project's head."""
    return Settings.load(database_url=database)


@pytest.fixture(scope="module")
def shared(cartsnitch_servers: Any, cartsnitch_template: str) -> Iterator[Connection]:
    """A connection to a database at head, whose transactions all are rolled back."""
    for url in _own_database(cartsnitch_servers.database_url, template=cartsnitch_template):
        engine = sync_engine(Settings.load(database_url=url), poolclass=NullPool)
        with engine.connect() as connection:
            yield connection


@pytest.fixture
def connection(shared: Connection) -> Iterator[Connection]:
    """The same connection for each test, to change what it likes."""
    yield shared
    shared.rollback()
