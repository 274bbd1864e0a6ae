from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis

from cartsnitch_common.config import Settings
from tests.integration.demo.command import Demo, counts, demo_process, without_settings

# -- embedded servers ----------------------------------------------------------


@pytest.mark.servers
def test_the_embedded_servers_are_started_and_cleaned_up() -> None:
    """Without settings the demonstration brings its own servers, and leaves nothing behind."""
    # Not below pytest's folder: as root the servers' account could not enter it.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        done = demo_process("--json", TMPDIR=place)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["servers"]["embedded"] is True
        assert list(Path(place).iterdir()) == []


@pytest.mark.servers
def test_keep_leaves_the_servers_up_and_says_how_to_connect() -> None:
    """`--keep` prints the settings; a second run on them knows the receipts; `--stop` ends them."""
    kept = demo_process("--keep")
    assert kept.returncode == 0, kept.stderr
    urls = dict(re.findall(r"export (CARTSNITCH_\w+)='([^']+)'", kept.stdout))
    directory = re.search(r"--stop '([^']+)'", kept.stdout)
    assert directory is not None
    try:
        again = demo_process("--json", **urls)
        assert again.returncode == 0, again.stderr
        statuses = {receipt["status"] for receipt in json.loads(again.stdout)["receipts"]}
        assert statuses == {"already recorded"}
    finally:
        stopped = demo_process("--stop", directory[1])
    assert stopped.returncode == 0, stopped.stderr
    assert not Path(directory[1]).exists()
    assert demo_process("--json", **urls).returncode == 3


@pytest.mark.servers
def test_keep_shows_no_address_of_the_environment(database: str) -> None:
    """Only the server that was made for the run is told how to reach; the other one's rows stay."""
    kept = demo_process("--keep", CARTSNITCH_DATABASE_URL=database)
    assert kept.returncode == 0, kept.stderr
    directory = re.search(r"--stop '([^']+)'", kept.stdout)
    assert directory is not None
    stopped = demo_process("--stop", directory[1])
    assert stopped.returncode == 0, stopped.stderr
    assert "export CARTSNITCH_REDIS_URL=" in kept.stdout
    assert "CARTSNITCH_DATABASE_URL" not in kept.stdout
    assert database not in kept.stdout
    assert "your environment names stays" in kept.stdout


@pytest.mark.servers
def test_sigterm_ends_the_demonstration_quietly() -> None:
    """SIGTERM in the midst of it: exit code 143, no traceback."""
    command = [sys.executable, "-m", "cartsnitch_common.cli", "demo"]
    for wait in (1.5, 2.2, 2.9):
        with subprocess.Popen(
            command,
            env=without_settings(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                process.terminate()
            _, said = process.communicate(timeout=30)
        assert process.returncode in {0, 143, -15}, (wait, process.returncode, said)
        assert "Traceback" not in said


# -- a wrong environment -------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        ("CARTSNITCH_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:1/db"),
        ("CARTSNITCH_DATABASE_URL", "postgresql://me:s3cret@no-such-host.invalid/db"),
        ("CARTSNITCH_DATABASE_URL", "mysql://me:s3cret@127.0.0.1/db"),
        ("CARTSNITCH_DATABASE_URL", "s3cret"),
        ("CARTSNITCH_DATABASE_URL", "postgresql://me:s3cret@127.0.0.1:port/db"),
        ("CARTSNITCH_REDIS_URL", "redis://:s3cret@127.0.0.1:1/0"),
        ("CARTSNITCH_REDIS_URL", "redis://:s3cret@no-such-host.invalid/0"),
        ("CARTSNITCH_REDIS_URL", "http://:s3cret@127.0.0.1/0"),
        ("CARTSNITCH_REDIS_URL", "redis://:s3cret@127.0.0.1:port/0"),
    ],
)
def test_a_server_out_of_reach_is_one_line_that_names_the_setting(
    demo: Demo, settings: Settings, setting: str, url: str
) -> None:
    """Exit code 3, the variable is named, its password is not."""
    done = demo(settings=settings, **{setting: url})
    assert done.returncode == 3, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith(f"error: {setting}: ")
    assert "s3cret" not in done.stdout + done.stderr


def test_a_wrong_password_and_the_wrong_server_are_told_apart(
    demo: Demo, settings: Settings
) -> None:
    """The password of either, a database that is not there, and a swap of the two URLs' ports."""
    postgres, valkey = settings.require_database_url(), settings.require_redis_url()
    ports = [re.search(r"@127\.0\.0\.1:(\d+)", url)[1] for url in (postgres, valkey)]  # type: ignore[index]
    wrong = [
        ("CARTSNITCH_DATABASE_URL", re.sub(r"://([^:]+):[^@]+@", r"://\1:s3cret@", postgres)),
        ("CARTSNITCH_DATABASE_URL", re.sub(r"/[^/]+$", "/no_such_database", postgres)),
        ("CARTSNITCH_DATABASE_URL", postgres.replace(ports[0], ports[1])),
        ("CARTSNITCH_REDIS_URL", re.sub(r"://([^:]*):[^@]+@", r"://\1:s3cret@", valkey)),
        ("CARTSNITCH_REDIS_URL", valkey.replace(ports[1], ports[0])),
    ]
    for setting, url in wrong:
        done = demo(settings=settings, **{setting: url}, CARTSNITCH_DATABASE_CONNECT_TIMEOUT="5")
        assert done.returncode == 3, (url, done.stdout + done.stderr)
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith(f"error: {setting}: "), lines[0]
        assert "s3cret" not in done.stderr


# -- a server that answers and cannot do the work ------------------------------


def test_a_redis_that_refuses_the_work_is_named_before_anything_is_written(
    demo: Demo, settings: Settings
) -> None:
    """A login without the right to append: exit code 3, the setting, and not one row."""
    with redis.Redis.from_url(settings.require_redis_url()) as client:
        client.acl_setuser(
            "reader",
            enabled=True,
            passwords=["+s3cret"],
            commands=["+@all", "-xadd"],
            keys=["*"],
            channels=["*"],
        )
        port = client.connection_pool.connection_kwargs["port"]
    try:
        url = f"redis://reader:s3cret@127.0.0.1:{port}/0"
        done = demo(settings=settings, CARTSNITCH_REDIS_URL=url)
    finally:
        with redis.Redis.from_url(settings.require_redis_url()) as client:
            client.acl_deluser("reader")
    assert done.returncode == 3, done.stdout + done.stderr
    assert done.stderr.startswith("error: CARTSNITCH_REDIS_URL: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "s3cret" not in done.stderr
    assert set(counts(settings).values()) == {0}


def test_a_database_that_only_reads_is_one_line(demo: Demo, settings: Settings) -> None:
    """At head, but read-only: exit code 3 and the setting, no traceback."""
    assert demo(settings=settings).returncode == 0
    url = settings.require_database_url()
    with psycopg.connect(url, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # type: ignore[arg-type]
    done = demo(settings=settings)
    assert done.returncode == 3, done.stdout + done.stderr
    assert re.fullmatch(r"error: CARTSNITCH_DATABASE_URL: .*only read.*\n", done.stderr)
