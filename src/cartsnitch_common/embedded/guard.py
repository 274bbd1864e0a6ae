"""The asking side of the guard: start it, give it orders, let go of it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cartsnitch_common.embedded.identity import Ending, ProcessIdentity
from cartsnitch_common.embedded.names import BOTH
from cartsnitch_common.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG_NAME = "guard.log"

_SCRIPT = Path(__file__).with_name("_guard.py")
_LONGEST_ANSWER = 120.0
_LONGEST_FINISH = 120.0

# Servers get nothing of the asking process's environment: an LD_LIBRARY_PATH or
# a PG* variable meant for something else breaks them, and secrets stay out of
# /proc/<pid>/environ of another account.
_SERVER_ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "TZ": "UTC",
}
# The guard is Python itself and may need these to find its own libraries.
_PASSED_TO_GUARD = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The unprivileged account that servers run as when root starts them.

    Attributes:
        name: Its name, as initdb looks it up.
        uid: Its user id.
        gid: Its own group's id.
    """

    name: str
    uid: int
    gid: int


def remove_directory(directory: Path) -> None:
    """Remove the private directory of a guard that did not live to do it.

    Raises:
        EmbeddedServerError: it cannot be removed.
    """
    for wait in (0.05, 0.2, 0.5, 1.0):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return
        time.sleep(wait)  # What is left of a server may still write.
    raise EmbeddedServerError(BOTH, f"{directory} could not be removed")


class Guard:
    """A guard process that runs, and what it was told to run.

    Safe to use from several threads. A fork of the asking process cannot use it,
    and its end does not end the servers.
    """

    def __init__(self, directory: Path, account: Account | None) -> None:
        """Start the guard of a private directory, which it will remove."""
        self._directory = directory
        self._account = account
        self._asker = os.getpid()
        self._lock = threading.Lock()
        self._received = b""
        self._open = True
        self._spawned: dict[str, tuple[ProcessIdentity, Ending]] = {}
        self._orders, theirs = socket.socketpair()
        with theirs, (directory / LOG_NAME).open("ab") as log:
            os.fchmod(log.fileno(), 0o600)
            # Python of its own, without site-packages: it starts in 40 ms and
            # nothing a user installed runs in it. A session of its own, so that
            # Ctrl-C at a terminal reaches the asking process only.
            self._process = subprocess.Popen(  # noqa: S603 - our own script
                [sys.executable, "-I", "-S", "-B", str(_SCRIPT), str(directory), str(self._asker)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=log,
                cwd="/",
                env={name: os.environ[name] for name in _PASSED_TO_GUARD if name in os.environ},
                start_new_session=True,
            )
        self._orders.settimeout(_LONGEST_ANSWER)

    @property
    def identity(self) -> ProcessIdentity | None:
        """The guard process itself, or None when it is gone."""
        return ProcessIdentity.of(self._process.pid)

    def spawn(
        self,
        name: str,
        arguments: Sequence[str | Path],
        *,
        log: Path,
        ending: Ending,
        text: str | None = None,
    ) -> ProcessIdentity:
        """Run a program as the servers' account, in place of an ended one of that name.

        Args:
            name: What later orders call it.
            arguments: The program's path and its arguments.
            log: Where its output goes, appended.
            ending: How to end it when the asking process goes away.
            text: What it reads from its standard input.

        Returns:
            Which process it is, even if it has ended already.
        """
        answer = self._ask(
            name,
            order="spawn",
            argv=[str(argument) for argument in arguments],
            log=str(log),
            ending=ending,
            input=text,
            environment=_SERVER_ENVIRONMENT,
            account=None if self._account is None else (self._account.uid, self._account.gid),
        )
        pid = int(answer["pid"])
        # The guard has not reaped it, so the id cannot mean another process yet.
        identity = ProcessIdentity.of(pid) or ProcessIdentity(pid=pid, started="ended")
        self._spawned[name] = (identity, ending)
        return identity

    def status(self, name: str) -> int | None:
        """The exit status of a program, or None while it runs."""
        status: int | None = self._ask(name, order="poll")["status"]
        return status

    def end(self, name: str, ending: Ending) -> int | None:
        """End a program and wait until it and its orphans are gone."""
        status: int | None = self._ask(name, order="end", ending=ending)["status"]
        return status

    def keep(self) -> None:
        """Let the guard and its servers outlive this process, from now on."""
        self._ask("guard", order="keep")
        self._open = False
        self._orders.close()
        # It is not waited for, on purpose: a Popen without a status warns of
        # that when it is collected.
        self._process.returncode = 0

    def close(self) -> None:
        """End everything the guard runs and remove its directory. May be repeated.

        Raises:
            EmbeddedServerError: something of it could not be removed.
        """
        if not self._open or os.getpid() != self._asker:
            return
        self._open = False
        self._hang_up()
        self._orders.close()
        try:
            status = self._process.wait(_LONGEST_FINISH)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status != 0:
            self._finish_instead()

    def _hang_up(self) -> None:
        # Not only closed: forks of this process may hold the socket as well. It
        # refuses if the guard is gone, which its exit status tells soon enough.
        with suppress(OSError):
            self._orders.shutdown(socket.SHUT_RDWR)

    def _finish_instead(self) -> None:
        # On Linux the guard's death has told its servers to end.
        for identity, ending in self._spawned.values():
            identity.end(ending)
        remove_directory(self._directory)

    def _ask(self, name: str, **order: Any) -> dict[str, Any]:
        if not self._open or os.getpid() != self._asker:
            raise EmbeddedServerError(name, "this process does not own it (any more)")
        with self._lock:
            try:
                self._orders.sendall(json.dumps({"name": name, **order}).encode() + b"\n")
                line = self._receive_line()
            except (EOFError, ConnectionError) as error:
                reason = f"its guard process has ended{self._last_words()}"
                raise EmbeddedServerError(name, reason) from error
            except TimeoutError as error:
                self._hang_up()
                raise EmbeddedServerError(name, "its guard process does not answer") from error
            except BaseException:
                # Interrupted: the answer is still to come and would be taken for
                # that of the next order, so there will be no next order.
                self._hang_up()
                raise
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EmbeddedServerError(name, answer["error"])
        return answer

    def _last_words(self) -> str:
        """What the guard said, if it could not even start."""
        try:
            said = (self._directory / LOG_NAME).read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            said = []  # It ended in good order and has removed it.
        return f": {said[-1]}" if said else ""

    def _receive_line(self) -> bytes:
        while b"\n" not in self._received:
            chunk = self._orders.recv(65536)
            if not chunk:
                raise EOFError
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line
