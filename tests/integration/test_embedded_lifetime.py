"""How long embedded servers live: over kills, not longer than their starter, unless kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg
import pytest
import redis

from cartsnitch_common.embedded import (
    ProcessIdentity,
    ValkeyServer,
    read_kept,
    start_servers,
    stop_kept,
)
from cartsnitch_common.embedded.guard import Guard
from cartsnitch_common.errors import EmbeddedServerError

pytestmark = pytest.mark.servers


def roomy_place() -> str:
    """Memory if there is enough of it, else the disk.

    ext4 searches longer for each new file the more were deleted within the last
    half minute, which is what tests do that make one cluster after the other.
    """
    memory = Path("/dev/shm")  # noqa: S108 - only with mkdtemp
    if not memory.is_dir() or os.statvfs(memory).f_flag & os.ST_NOEXEC:
        return "/var/tmp"  # noqa: S108 - only with mkdtemp
    return str(memory) if shutil.disk_usage(memory).free > 2**30 else "/var/tmp"  # noqa: S108


@pytest.fixture
def place():
    """A directory that everybody may enter, and that must be empty afterwards."""
    path = Path(tempfile.mkdtemp(dir=roomy_place()))
    path.chmod(0o755)
    yield path
    path.rmdir()


def query(url: str, statement: str, *values: object) -> object:
    """Run one statement in its own transaction, return the first column of the first row."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement, values)
        row = cursor.fetchone() if cursor.description else None
    return row[0] if row else None


def client(server: ValkeyServer) -> redis.Redis:
    """A client that never tries twice."""
    return redis.Redis.from_url(server.url, retry=None)


def segments_of(pid: int) -> list[str]:
    """The System V shared memory segments that a process made."""
    lines = Path("/proc/sysvipc/shm").read_text("ascii").splitlines()[1:]
    return [line for line in lines if line.split()[4] == str(pid)]


def wait_until(condition, seconds: float = 5.0) -> None:
    """Wait for a condition, and fail if it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def shared_memory_files(pid: int) -> set[Path]:
    """The files in POSIX shared memory that a process has mapped."""
    maps = Path(f"/proc/{pid}/maps").read_text("ascii").splitlines()
    return {Path(line.split()[-1]) for line in maps if "/dev/shm/PostgreSQL" in line}  # noqa: S108


# -- stop, kill and start again ----------------------------------------------------


def test_a_killed_server_comes_back_with_its_data(place: Path) -> None:
    """What was committed, or answered by Valkey, is there after SIGKILL, at the same URL."""
    with start_servers(directory=place, durable=True, append_only="always") as servers:
        urls = (servers.database_url, servers.redis_url)
        assert query(servers.database_url, "SHOW fsync") == "on"
        query(servers.database_url, "CREATE TABLE kept AS SELECT 1 AS n")
        with client(servers.valkey) as connection:
            assert connection.config_get("append*")["appendfsync"] == "always"
            connection.set("kept", "1")
        # A client stays connected, so there is a backend to leave behind.
        with psycopg.connect(servers.database_url), client(servers.valkey) as connection:
            connection.ping()
            pids = {servers.postgres.pid, servers.valkey.pid}
            servers.postgres.kill()
            servers.valkey.kill()
            assert not servers.postgres.is_running
            assert not servers.valkey.is_running
        servers.postgres.start()
        servers.valkey.start()
        assert not pids & {servers.postgres.pid, servers.valkey.pid}
        # Now killed by somebody else, and stopped in good order.
        with psycopg.connect(servers.database_url):
            os.kill(servers.postgres.pid, signal.SIGKILL)
            wait_until(lambda: not servers.postgres.is_running)
            servers.postgres.start()
        servers.valkey.stop()
        servers.valkey.start()
        assert (servers.database_url, servers.redis_url) == urls
        assert query(servers.database_url, "SELECT n FROM kept") == 1
        with client(servers.valkey) as connection:
            assert connection.get("kept") == b"1"


# -- nothing is left ---------------------------------------------------------------


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_nothing_is_left_after_the_end(place: Path, *, killed: bool) -> None:
    """No process, no file and no shared memory is left, not even after a kill."""
    with start_servers(directory=place) as servers:
        pids = (servers.postgres.pid, servers.valkey.pid)
        assert segments_of(pids[0])
        files = shared_memory_files(pids[0])
        if killed:
            servers.postgres.kill()
            servers.valkey.kill()
    servers.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not segments_of(pids[0])
    assert not [path for path in files if path.exists()]
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"postgres_settings": {"shared_buffers": "nonsense"}}, "invalid value"),
        ({"ready_timeout": 0.05}, "after 0.05 s"),
    ],
    ids=["refused", "late"],
)
def test_a_failed_start_says_why_and_leaves_nothing(place: Path, options, words: str) -> None:
    """The error holds the server's own words, and the directory is gone."""
    with pytest.raises(EmbeddedServerError, match=words):
        start_servers(directory=place, **options)
    assert list(place.iterdir()) == []


def test_an_interrupted_start_leaves_nothing(place: Path, monkeypatch) -> None:
    """Ctrl-C while initdb runs and its guard owes an answer ends everything that was begun."""
    receive, orders = Guard._receive_line, []

    def interrupted(guard: Guard) -> bytes:
        orders.append(guard)
        if len(orders) == 5:
            raise KeyboardInterrupt
        return receive(guard)

    monkeypatch.setattr(Guard, "_receive_line", interrupted)
    with pytest.raises(KeyboardInterrupt):
        start_servers(directory=place)
    assert list(place.iterdir()) == []


# -- nobody is left to close them ----------------------------------------------------

STARTER = """
import json, os, sys, time
from pathlib import Path
from cartsnitch_common.embedded import ValkeyServer, start_servers

place, words = Path(sys.argv[1]), sys.argv[2:]
if "both" in words:
    servers = start_servers(directory=place)
    started = [servers.postgres, servers.valkey]
else:
    started = [ValkeyServer(directory=place)]
    started[0].start()
fork = os.fork() if "fork" in words else None
if fork == 0:
    time.sleep(60)
if "keep" in words:
    servers.keep()
report = [server.pid for server in started], [server.url for server in started], fork
print(json.dumps(report), flush=True)
if "exit" in words:
    os._exit(0)
if "keep" not in words:
    time.sleep(60)
"""


def start_elsewhere(place: Path, *words: str):
    """Start servers in another process: that process, its servers' ids and URLs, its fork."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(place), *words],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    with starter.stdout:
        return starter, *json.loads(starter.stdout.readline())


@pytest.mark.parametrize("words", ["both", "fork", "terminate", "exit"])
def test_servers_never_outlive_their_starter(place: Path, words: str) -> None:
    """However the starter ends, its servers and their directory are gone within seconds.

    Also when it forked: the fork holds the same files open but did not start them.
    """
    starter, pids, _, fork = start_elsewhere(place, words)
    running = [ProcessIdentity.of(pid) for pid in pids]
    try:
        if words == "terminate":
            starter.terminate()
        elif words != "exit":
            starter.kill()
        starter.wait()
        wait_until(lambda: not any(process and process.is_alive() for process in running))
        wait_until(lambda: not list(place.iterdir()))
        assert not segments_of(pids[0])
    finally:
        if fork:
            os.kill(fork, signal.SIGKILL)


def test_servers_do_not_outlive_a_killed_guard(place: Path) -> None:
    """If the guard itself is killed its servers end too, and close still removes everything."""
    with start_servers(directory=place) as servers:
        servers._runtime.guard.identity.signal(signal.SIGKILL)
        wait_until(lambda: not (servers.postgres.is_running or servers.valkey.is_running))
        with pytest.raises(EmbeddedServerError, match="guard process has ended"):
            servers.valkey.start()
    assert not segments_of(servers.postgres.pid)


# -- kept ------------------------------------------------------------------------------


def test_kept_servers_live_until_they_are_stopped(place: Path) -> None:
    """Kept servers outlive their starter, and stop_kept leaves nothing of them."""
    starter, _, urls, _ = start_elsewhere(place, "both", "keep")
    assert starter.wait() == 0
    (directory,) = place.iterdir()
    assert (directory / "state.json").stat().st_mode & 0o777 == 0o600
    kept = read_kept(directory)
    assert [kept.postgres.url, kept.valkey.url] == urls
    assert kept.postgres.url not in repr(kept)
    time.sleep(0.7)  # Longer than the guard takes to see that its asker is gone.
    assert query(kept.postgres.url, "SELECT 1") == 1
    with redis.Redis.from_url(kept.valkey.url, retry=None) as connection:
        assert connection.ping()
    stop_kept(directory)
    processes = (kept.guard, kept.postgres.process, kept.valkey.process)
    assert not any(process.is_alive() for process in processes)
    assert not segments_of(kept.postgres.process.pid)
    with pytest.raises(EmbeddedServerError, match="none are kept"):
        stop_kept(directory)


def test_kept_servers_are_stopped_without_their_guard(place: Path) -> None:
    """The process that kept them may stop them, even if their guard was killed meanwhile."""
    with start_servers(directory=place) as servers:
        directory = servers.keep()
    assert servers.postgres.is_running
    assert servers.valkey.is_running
    with pytest.raises(EmbeddedServerError, match="does not own it"):
        servers.valkey.kill()
    read_kept(directory).guard.signal(signal.SIGKILL)
    stop_kept(directory)
    assert not servers.postgres.is_running
    assert not servers.valkey.is_running
    assert not segments_of(servers.postgres.pid)
