"""A PostgreSQL server of its own: a new cluster, a random password, no socket file."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

from cartsnitch_common.embedded.names import POSTGRES
from cartsnitch_common.embedded.ports import LOOPBACK
from cartsnitch_common.embedded.programs import usable_postgres
from cartsnitch_common.embedded.server import READY_TIMEOUT, EmbeddedServer
from cartsnitch_common.errors import EmbeddedServerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cartsnitch_common.embedded.identity import Ending
    from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory

USER = "cartsnitch"
DATABASE = "cartsnitch"

_INITIAL_SETTINGS_SINCE = 16
_BUILTIN_LOCALES_SINCE = 17
_CHECKSUMS_BY_DEFAULT_SINCE = 18
_READY_LINE = 7


class PostgresServer(EmbeddedServer):
    """PostgreSQL on a loopback port, for tests, demonstrations and development.

    The user ``cartsnitch`` is the superuser and owns the database ``cartsnitch``.
    Only SCRAM-SHA-256 over TCP on 127.0.0.1 gets in.
    """

    name = POSTGRES
    # Fast shutdown, then immediate shutdown. Immediate at once where the data
    # are thrown away: it spares the last checkpoint, and still frees everything.
    _stop_ending: ClassVar[Ending] = (
        (signal.SIGINT, 30.0),
        (signal.SIGQUIT, 10.0),
        (signal.SIGKILL, 10.0),
    )
    _close_ending: ClassVar[Ending] = ((signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))

    def __init__(
        self,
        runtime: RuntimeDirectory | None = None,
        *,
        durable: bool = False,
        max_connections: int = 150,
        settings: Mapping[str, str] | None = None,
        directory: Path | None = None,
        ready_timeout: float = READY_TIMEOUT,
    ) -> None:
        """Describe a server. Nothing is made before ``start``.

        Args:
            runtime: The private directory and guard to share with other servers.
            durable: Flush to the disk, as a server that matters does. Without
                it a commit survives ``kill`` all the same, but no power cut.
            max_connections: How many clients may be connected at once.
            settings: More settings of the server. No secrets: its command line
                shows them.
            directory: Where to make its own private directory.
            ready_timeout: Seconds that a start may take.
        """
        super().__init__(runtime, directory=directory, ready_timeout=ready_timeout)
        self._settings = {
            "listen_addresses": LOOPBACK,
            # A socket file would need a short path, and lets nobody in that TCP does not.
            "unix_socket_directories": "",
            "max_connections": str(max_connections),
            "shared_buffers": "64MB",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "log_checkpoints": "off",
            "password_encryption": "scram-sha-256",
            # As files they go with the directory. As POSIX shared memory they
            # would stay behind after a kill, and containers have little of it.
            "dynamic_shared_memory_type": "mmap",
        }
        if not durable:
            # synchronous_commit stays on: without it a kill loses commits.
            self._settings |= {"fsync": "off", "full_page_writes": "off"}
        self._settings |= settings or {}

    @property
    def url(self) -> str:
        """``postgresql://cartsnitch:...@127.0.0.1:<port>/cartsnitch``. A secret."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def _data(self) -> Path:
        return self._runtime.path / self.name / "data"

    def _prepare(self) -> None:
        self._programs, version = usable_postgres(self._runtime)
        self._runtime.make_folder(self.name)
        password_file = self._runtime.write("postgres.password", self.password)
        try:
            self._make_cluster(version, password_file)
        finally:
            password_file.unlink()
        # The server's own single-user mode spares a client at this layer.
        self._run_step(
            "create database",
            [
                self._programs / "postgres",
                "--single",
                "-D",
                self._data,
                *self._setting_arguments(),
                "postgres",
            ],
            text=f"CREATE DATABASE {DATABASE};\n",
        )

    def _make_cluster(self, version: int, password_file: Path) -> None:
        # Files are flushed at the first checkpoint if the server is durable.
        command: list[str | Path] = [
            self._programs / "initdb",
            f"--pgdata={self._data}",
            f"--username={USER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-sync",
            "--no-instructions",
        ]
        if version >= _INITIAL_SETTINGS_SINCE:
            # Of an interrupted initdb no shared memory stays behind either.
            command += ["-c", "dynamic_shared_memory_type=mmap"]
        if version >= _CHECKSUMS_BY_DEFAULT_SINCE:
            command.append("--no-data-checksums")
        if version >= _BUILTIN_LOCALES_SINCE:
            # The same sort order on every system, by code point.
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        try:
            self._run_step("initdb", [*command, "--locale=C.UTF-8"])
        except EmbeddedServerError:
            # A system without C.UTF-8 (musl, old macOS): C classifies ASCII only.
            if "invalid locale" not in self._last_words():
                raise
            self._run_step("initdb", [*command, "--locale=C"])

    def _arguments(self) -> list[str | Path]:
        return [
            self._programs / "postgres",
            "-D",
            self._data,
            "-c",
            f"port={self.port}",
            *self._setting_arguments(),
        ]

    def _setting_arguments(self) -> list[str]:
        return [word for item in self._settings.items() for word in ("-c", "=".join(item))]

    def _answers(self) -> bool:
        # The postmaster writes its state into its lock file, which is what pg_ctl
        # waits for. After a kill the file of the one before is still there.
        try:
            lines = (self._data / "postmaster.pid").read_text("utf-8").splitlines()
        except FileNotFoundError:
            return False
        return (
            len(lines) > _READY_LINE
            and lines[0].strip() == str(self.pid)
            and lines[_READY_LINE].strip() == "ready"
        )
