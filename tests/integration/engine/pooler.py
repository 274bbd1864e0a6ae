"""A real PgBouncer in transaction mode, in front of a server of the tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from cartsnitch_common.embedded.identity import Ending
from cartsnitch_common.embedded.ports import LOOPBACK
from cartsnitch_common.embedded.server import EmbeddedServer


class PgBouncer(EmbeddedServer):
    """One connection to the server for many clients, lent for a transaction at a time.

    Args:
        server_url: The server that stands behind it, with user and password.
    """

    name = "pgbouncer"
    _stop_ending: ClassVar[Ending] = ((signal.SIGINT, 5.0), (signal.SIGKILL, 5.0))
    _close_ending: ClassVar[Ending] = ((signal.SIGKILL, 5.0),)

    def __init__(self, server_url: str, *, pool_size: int = 1) -> None:
        super().__init__()
        self._server = urlsplit(server_url)
        self._pool_size = pool_size

    @property
    def url(self) -> str:
        """The server's URL, with the pooler's port. A secret."""
        user, password = self._server.username, self._server.password
        place = f"{LOOPBACK}:{self.port}"
        return self._server._replace(netloc=f"{user}:{password}@{place}").geturl()

    def _prepare(self) -> None:
        self._runtime.make_folder(self.name)

    def _arguments(self) -> list[str | Path]:
        users = f'"{self._server.username}" "{self._server.password}"\n'
        users_file = self._runtime.write("users.txt", users)
        settings = f"""
            [databases]
            * = host={LOOPBACK} port={self._server.port}
            [pgbouncer]
            listen_addr = {LOOPBACK}
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = scram-sha-256
            auth_file = {users_file}
            pool_mode = transaction
            default_pool_size = {self._pool_size}
            max_client_conn = 200
            log_connections = 0
            log_disconnections = 0
        """
        lines = "\n".join(line.strip() for line in settings.splitlines())
        # Without it the tests are not collected: see the suite's conftest.
        places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin"])
        program = shutil.which(self.name, path=places)
        assert program is not None
        return [program, self._runtime.write("pgbouncer.ini", lines)]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=0.25):
                return True
        except OSError:
            return False
