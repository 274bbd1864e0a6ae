"""What the two embedded servers have in common: start, be ready, stop, be killed."""

from __future__ import annotations

import secrets
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, NoReturn, Self

from cartsnitch_common.embedded.ports import free_port
from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory
from cartsnitch_common.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cartsnitch_common.embedded.identity import Ending, ProcessIdentity

READY_TIMEOUT = 60.0
"""Seconds that a server may take from nothing until it answers."""

_KILL: Ending = ((signal.SIGKILL, 10.0),)
_END_STEP: Ending = ((signal.SIGTERM, 2.0), (signal.SIGKILL, 10.0))
_LOG_LINES = 15
_LOG_BYTES = 8192


@contextmanager
def system_errors(server: str) -> Iterator[None]:
    """Turn what the system refuses, such as a full disk, into this package's error."""
    try:
        yield
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(server, str(error)) from error


class EmbeddedServer(ABC):
    """A server of its own on a loopback port, with a password and a directory.

    As a context manager it is started on entry, and ended and removed on exit.
    Its port, password and data stay the same over ``stop``, ``kill`` and ``start``.
    """

    name: ClassVar[str]
    _stop_ending: ClassVar[Ending]
    _close_ending: ClassVar[Ending]

    def __init__(
        self,
        runtime: RuntimeDirectory | None = None,
        *,
        directory: Path | None = None,
        ready_timeout: float = READY_TIMEOUT,
    ) -> None:
        """Describe a server. Nothing is made before ``start``.

        Args:
            runtime: The private directory and guard to use. Without it the
                server makes its own at the first start and ``close`` removes it.
            directory: Where to make its own private directory, by default the
                temporary directory.
            ready_timeout: Seconds that a start may take.
        """
        self._shared_runtime = runtime
        self._own_runtime: RuntimeDirectory | None = None
        self._directory = directory
        self._ready_timeout = ready_timeout
        self._password = secrets.token_urlsafe(24)
        self._port: int | None = None
        self._process: ProcessIdentity | None = None
        self._prepared = False
        self._was_ready = False
        self._deadline = 0.0
        self._log_start = 0

    # -- what a user sees -----------------------------------------------------

    @property
    @abstractmethod
    def url(self) -> str:
        """The address with user and password, for clients. A secret."""

    @property
    def password(self) -> str:
        """The random password of this server."""
        return self._password

    @property
    def port(self) -> int:
        """The TCP port on the loopback interface.

        Raises:
            EmbeddedServerError: the server was never started.
        """
        if self._port is None:
            raise EmbeddedServerError(self.name, "it was never started")
        return self._port

    @property
    def pid(self) -> int:
        """The id of the server's process, of PostgreSQL's its postmaster.

        Raises:
            EmbeddedServerError: the server was never started.
        """
        return self.process.pid

    @property
    def process(self) -> ProcessIdentity:
        """Which process the server is or last was.

        Raises:
            EmbeddedServerError: the server was never started.
        """
        if self._process is None:
            raise EmbeddedServerError(self.name, "it was never started")
        return self._process

    @property
    def is_running(self) -> bool:
        """Whether the server's process runs."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the server and wait until it answers. Does nothing while it runs.

        Raises:
            EmbeddedServerError: it ended or did not answer in time. Of a first
                start nothing is left behind.
        """
        if self.is_running:
            return
        first = self._shared_runtime is None and self._own_runtime is None
        try:
            with system_errors(self.name):
                self.begin()
                self.wait_ready()
        except BaseException:
            if first:
                self.close()
            raise

    def stop(self) -> None:
        """End the server in good order. Its data stay for the next start."""
        if self.is_running:
            self._runtime.guard.end(self.name, self._stop_ending)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would. Its data stay as they are.

        Returns when the process, and of PostgreSQL every backend, is gone.
        """
        if self.is_running:
            self._runtime.guard.end(self.name, _KILL)

    def close(self) -> None:
        """End the server, and remove its private directory if that is its own."""
        if self._own_runtime is not None:
            self._own_runtime.close()
            # The next start makes everything anew.
            self._own_runtime = None
            self._prepared = self._was_ready = False
        elif self._shared_runtime is not None:
            self.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "running" if self.is_running else "not running"
        return f"<{type(self).__name__} port={self._port} {state}>"

    # -- the start in two steps, so that two servers can start at once ---------

    def begin(self) -> None:
        """Launch the server, which does not run, without waiting until it answers."""
        self._deadline = time.monotonic() + self._ready_timeout
        if self._shared_runtime is None and self._own_runtime is None:
            self._own_runtime = RuntimeDirectory.create(self._directory)
        if not self._prepared:
            self._prepare()
            self._prepared = True
        if self._port is None:
            self._port = free_port()
        self._launch()

    def wait_ready(self) -> None:
        """Wait until the launched server answers.

        Raises:
            EmbeddedServerError: it ended or did not answer in time.
        """
        while True:
            status = self._runtime.guard.status(self.name)
            if status is None and self._answers():
                self._was_ready = True
                return
            if time.monotonic() > self._deadline:
                self._runtime.guard.end(self.name, _KILL)
                self._fail(f"not ready after {self._ready_timeout:g} s")
            if status is not None:
                if not self._found_in_use():
                    self._fail(f"ended with status {status}")
                if not self._was_ready:
                    self._port = free_port()
                time.sleep(0.1)
                self._launch()
            time.sleep(0.005)

    # -- what the two servers do differently ----------------------------------

    @abstractmethod
    def _prepare(self) -> None:
        """Make the server's files, once."""

    @abstractmethod
    def _arguments(self) -> list[str | Path]:
        """The command line, without a secret: everybody can read it."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether the launched process accepts clients."""

    # -- helpers ---------------------------------------------------------------

    @property
    def _runtime(self) -> RuntimeDirectory:
        runtime = self._shared_runtime or self._own_runtime
        if runtime is None:
            raise EmbeddedServerError(self.name, "it was never started")
        return runtime

    @property
    def _log(self) -> Path:
        return self._runtime.path / f"{self.name}.log"

    def _launch(self) -> None:
        self._mark_log()
        self._process = self._runtime.guard.spawn(
            self.name, self._arguments(), log=self._log, ending=self._close_ending
        )

    def _run_step(self, step: str, arguments: list[str | Path], text: str | None = None) -> None:
        """Run a program of the preparation to its end."""
        self._mark_log()
        guard, name = self._runtime.guard, f"{self.name} {step}"
        guard.spawn(name, arguments, log=self._log, ending=_END_STEP, text=text)
        while (status := guard.status(name)) is None:
            if time.monotonic() > self._deadline:
                guard.end(name, _END_STEP)
                self._fail(f"{step} not done after {self._ready_timeout:g} s")
            time.sleep(0.005)
        if status != 0:
            self._fail(f"{step} ended with status {status}")

    def _mark_log(self) -> None:
        self._log_start = self._log.stat().st_size if self._log.exists() else 0

    def _last_words(self) -> str:
        """The end of what the server said since its launch, without its password."""
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            end = log.seek(0, 2)
            log.seek(max(self._log_start, end - _LOG_BYTES))
            said = log.read().decode("utf-8", "replace")
        return said.replace(self._password, "***")

    def _found_in_use(self) -> bool:
        # The port, or on macOS the shared memory of backends that still end.
        return "in use" in self._last_words()

    def _fail(self, reason: str) -> NoReturn:
        lines = self._last_words().strip().splitlines()[-_LOG_LINES:]
        raise EmbeddedServerError(self.name, "\n    ".join([reason, *lines]))
