"""The guard, with programs that are no servers: orders, endings, orphans, forks."""

from __future__ import annotations

import os
import signal
import time

import pytest

from cartsnitch_common.embedded import ProcessIdentity
from cartsnitch_common.embedded import guard as guard_module
from cartsnitch_common.embedded.guard import Guard
from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory
from cartsnitch_common.errors import EmbeddedServerError

KILL = ((signal.SIGKILL, 5.0),)


@pytest.fixture
def runtime():
    """A private directory with its guard."""
    directory = RuntimeDirectory.create()
    yield directory
    directory.close()
    assert not directory.path.exists()


def run(runtime: RuntimeDirectory, script: str, **options) -> ProcessIdentity:
    """Let the guard run a shell script by the name of job."""
    options = {"log": runtime.path / "job.log", "ending": KILL} | options
    return runtime.guard.spawn("job", ["/bin/sh", "-c", script], **options)


def logged(runtime: RuntimeDirectory, seconds: float = 5.0) -> str:
    """The first line that the script printed, as soon as it is whole."""
    deadline = time.monotonic() + seconds
    log = runtime.path / "job.log"
    while not (log.exists() and log.read_text("utf-8").endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return log.read_text("utf-8").splitlines()[0]


def test_a_program_gets_only_what_it_is_given(runtime, monkeypatch) -> None:
    """Its input arrives; of this process's environment it sees nothing."""
    monkeypatch.setenv("LD_PRELOAD_OF_NOBODY", "secret")
    monkeypatch.setenv("PGPORT", "1")
    run(runtime, 'read line; echo "$line $(env | sort | tr "\\n" " ")"', text="hello\n")
    said = logged(runtime)
    assert said.startswith("hello ")
    assert "TZ=UTC" in said
    assert "secret" not in said
    assert "PGPORT" not in said


def test_an_ending_goes_on_to_the_next_signal(runtime) -> None:
    """A program that ignores the first signal gets the second, also when it is stopped."""
    job = run(runtime, 'trap "" TERM; echo ready; while :; do sleep 0.05; done')
    logged(runtime)
    job.signal(signal.SIGSTOP)
    started = time.monotonic()
    runtime.guard.end("job", ((signal.SIGTERM, 0.3), (signal.SIGKILL, 5.0)))
    assert not job.is_alive()
    assert 0.25 < time.monotonic() - started < 4.0


def test_what_a_killed_program_leaves_behind_ends_before_the_next_start(runtime) -> None:
    """Its orphans, which could hold a port or shared memory, are gone when it is started anew."""
    job = run(runtime, "sleep 60 & echo $!; wait")
    orphan = ProcessIdentity.of(int(logged(runtime)))
    job.signal(signal.SIGKILL)
    assert job.wait_gone(5.0)
    assert orphan.is_alive()
    run(runtime, "exec sleep 60")
    assert not orphan.is_alive()


def test_a_program_that_cannot_be_run_is_one_clear_error(runtime) -> None:
    """The guard survives it and goes on."""
    with pytest.raises(EmbeddedServerError, match="No such file"):
        runtime.guard.spawn("job", ["/nonexistent"], log=runtime.path / "job.log", ending=KILL)
    run(runtime, "exit 3")
    assert runtime.guard.end("job", KILL) in {3, -signal.SIGKILL}


def test_an_interrupted_order_is_the_last_one(runtime, monkeypatch) -> None:
    """After Ctrl-C in an order its late answer is never taken for that of the next order."""

    def interrupt(_guard: Guard) -> bytes:
        raise KeyboardInterrupt

    job = run(runtime, "exec sleep 60")
    with monkeypatch.context() as patch:
        patch.setattr(Guard, "_receive_line", interrupt)
        with pytest.raises(KeyboardInterrupt):
            runtime.guard.status("job")
    with pytest.raises(EmbeddedServerError, match="guard process has ended"):
        run(runtime, "echo again")
    assert job.wait_gone(5.0)


def test_a_fork_ends_nothing_and_may_order_nothing(runtime) -> None:
    """A fork that closes its copy, or ends, takes nothing from the process that started it."""
    job = run(runtime, "exec sleep 60")
    fork = os.fork()
    if fork == 0:
        status = 1
        try:
            runtime.guard.end("job", KILL)
        except EmbeddedServerError:
            runtime.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(fork, 0)[1] == 0
    time.sleep(0.2)
    assert job.is_alive()
    assert runtime.guard.status("job") is None


def test_close_may_be_repeated(runtime) -> None:
    """The second close does nothing, and no order is taken after the first."""
    job = run(runtime, "exec sleep 60")
    runtime.close()
    runtime.close()
    assert not job.is_alive()
    with pytest.raises(EmbeddedServerError, match="does not own it"):
        runtime.guard.status("job")


def test_a_guard_that_cannot_start_is_one_clear_error(monkeypatch) -> None:
    """The error says what its Python said, and the directory is removed without it."""
    monkeypatch.setattr(guard_module, "_SCRIPT", "/nonexistent/guard.py")
    runtime = RuntimeDirectory.create()
    with pytest.raises(EmbeddedServerError, match=r"has ended: .*can't open file"):
        run(runtime, "echo hello")
    runtime.close()
    assert not runtime.path.exists()
