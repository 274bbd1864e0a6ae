"""A Valkey server of its own, or a Redis one: a random password, loopback only."""

from __future__ import annotations

import hashlib
import signal
import socket
from typing import TYPE_CHECKING, ClassVar, Literal

from cartsnitch_common.embedded.names import VALKEY
from cartsnitch_common.embedded.ports import LOOPBACK
from cartsnitch_common.embedded.programs import usable_valkey
from cartsnitch_common.embedded.server import READY_TIMEOUT, EmbeddedServer

if TYPE_CHECKING:
    from pathlib import Path

    from cartsnitch_common.embedded.identity import Ending
    from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory


class ValkeyServer(EmbeddedServer):
    """Valkey on a loopback port, for tests, demonstrations and development.

    The user ``default`` may do everything, with the password only.
    """

    name = VALKEY
    _stop_ending: ClassVar[Ending] = ((signal.SIGTERM, 20.0), (signal.SIGKILL, 10.0))
    _close_ending: ClassVar[Ending] = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 10.0))

    def __init__(
        self,
        runtime: RuntimeDirectory | None = None,
        *,
        append_only: bool | Literal["always", "everysec"] = True,
        directory: Path | None = None,
        ready_timeout: float = READY_TIMEOUT,
    ) -> None:
        """Describe a server. Nothing is made before ``start``.

        Args:
            runtime: The private directory and guard to share with other servers.
            append_only: Whether writes go to the append-only file before they are
                answered, and so survive ``kill``: flushed to the disk every second
                (True or ``everysec``), or before each answer (``always``), which
                is slow. With False nothing survives the end of the process.
            directory: Where to make its own private directory.
            ready_timeout: Seconds that a start may take.
        """
        super().__init__(runtime, directory=directory, ready_timeout=ready_timeout)
        self._append_only = append_only

    @property
    def url(self) -> str:
        """``redis://default:...@127.0.0.1:<port>/0``. A secret."""
        return f"redis://default:{self.password}@{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> None:
        self._program = usable_valkey(self._runtime)
        self._runtime.make_folder(self.name)

    def _configuration(self) -> str:
        folder = str(self._runtime.path / self.name).replace("\\", "\\\\").replace('"', '\\"')
        # The hash instead of the password: nothing on the disk lets anyone in.
        # Unsalted is enough for 192 random bits.
        password_hash = hashlib.sha256(self.password.encode()).hexdigest()
        flush = self._append_only if isinstance(self._append_only, str) else "everysec"
        return "\n".join(
            (
                f"bind {LOOPBACK}",
                f"port {self.port}",
                "protected-mode yes",
                "daemonize no",
                f'dir "{folder}"',
                'save ""',
                f"appendonly {'yes' if self._append_only else 'no'}",
                f"appendfsync {flush}",
                f"user default on #{password_hash} ~* &* +@all",
                "",
            )
        )

    def _arguments(self) -> list[str | Path]:
        return [self._program, self._runtime.write("valkey.conf", self._configuration())]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=0.25) as client:
                # Whoever has the port instead of our server gets no password.
                if not _ask(client, "PING").startswith("-NOAUTH"):
                    return False
                # While it still loads its file, it refuses the PING.
                return (
                    _ask(client, f"AUTH default {self.password}") == "+OK"
                    and _ask(client, "PING") == "+PONG"
                )
        except OSError:
            return False


def _ask(client: socket.socket, command: str) -> str:
    """Send an inline command, return the line of the answer."""
    client.sendall(f"{command}\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n"):
        received = client.recv(1024)
        if not received:
            return ""
        answer += received
    return answer.decode("ascii", "replace").strip()
