"""Which process it is: a process id together with the time at which it started.

A process id alone is reused. Everything here that may run long after the
process was seen, such as stopping servers that were kept, checks the pair.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

type Ending = tuple[tuple[signal.Signals, float], ...]
"""Signals to end a process with, each with the seconds to wait before the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessIdentity:
    """One process of this machine, never confused with a later one of the same id.

    Attributes:
        pid: The process id.
        started: When it started, as the system tells it. On Linux the boot's id
            and the clock ticks since that boot, elsewhere the date that ``ps`` prints.
    """

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """The identity of a running process, or None if there is none of this id."""
        started = _started(pid)
        return None if started is None else cls(pid=pid, started=started)

    def is_alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return _started(self.pid) == self.started

    def signal(self, number: signal.Signals) -> bool:
        """Send a signal to this very process.

        Returns:
            False if it is gone, whoever has its id now.
        """
        try:
            if sys.platform != "linux":
                if not self.is_alive():
                    return False
                os.kill(self.pid, number)
                return True
            # The descriptor pins the process: between the check and the signal
            # its id cannot come to mean another one.
            descriptor = os.pidfd_open(self.pid)
            try:
                if not self.is_alive():
                    return False
                signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)
        except ProcessLookupError:
            return False
        return True

    def end(self, ending: Ending) -> None:
        """Send one signal after the other until the process has ended."""
        for number, seconds in ending:
            if not self.signal(number) or self.wait_gone(seconds):
                return

    def wait_gone(self, seconds: float) -> bool:
        """Wait until the process has ended. Returns whether it has."""
        deadline = time.monotonic() + seconds
        while self.is_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def _started(pid: int) -> str | None:
    if sys.platform != "linux":
        listed = subprocess.run(  # noqa: S603 - a fixed program, a number
            ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        state, _, started = listed.partition(" ")
        return None if not listed or state.startswith("Z") else started.strip()
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may hold anything,
    # so the fields are counted from the last bracket: state is the third field
    # and the start time the twenty-second (proc_pid_stat(5)).
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in {b"Z", b"X"} else f"{boot}:{fields[19].decode('ascii')}"
