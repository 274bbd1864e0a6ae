"""A process is its id and its start, never the id alone."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from cartsnitch_common.embedded.identity import ProcessIdentity


@pytest.fixture
def sleeper():
    """A process of ours that does nothing."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_recognized(sleeper) -> None:
    """The same process is the same identity, and another one is not."""
    identity = ProcessIdentity.of(sleeper.pid)
    assert identity is not None
    assert identity == ProcessIdentity.of(sleeper.pid)
    assert identity.is_alive()
    assert identity != ProcessIdentity.of(os.getpid())


def test_an_ended_process_is_not_alive_even_as_a_zombie(sleeper) -> None:
    """A process that its parent has not waited for yet does not count as running."""
    identity = ProcessIdentity.of(sleeper.pid)
    assert identity.signal(signal.SIGKILL)
    assert identity.wait_gone(5.0)
    assert ProcessIdentity.of(sleeper.pid) is None
    sleeper.wait()
    assert not identity.signal(signal.SIGKILL)


def test_a_process_that_took_over_the_id_gets_no_signal(sleeper) -> None:
    """An identity with the same id and another start is somebody else."""
    earlier = ProcessIdentity(pid=sleeper.pid, started="long ago")
    assert not earlier.is_alive()
    assert not earlier.signal(signal.SIGKILL)
    assert sleeper.poll() is None


def test_waiting_for_a_running_process_ends_in_time(sleeper) -> None:
    """The wait is bounded and says that the process still runs."""
    assert not ProcessIdentity.of(sleeper.pid).wait_gone(0.05)
