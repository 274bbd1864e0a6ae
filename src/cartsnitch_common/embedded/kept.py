"""Servers that outlive the process that started them, and how to stop them."""

from __future__ import annotations

import json
import os
import signal
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cartsnitch_common.embedded.guard import remove_directory
from cartsnitch_common.embedded.identity import ProcessIdentity
from cartsnitch_common.embedded.names import BOTH
from cartsnitch_common.errors import EmbeddedServerError

if TYPE_CHECKING:
    from pathlib import Path

    from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory
    from cartsnitch_common.embedded.server import EmbeddedServer

_STATE_NAME = "state.json"
_FORMAT = 1
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptServer:
    """One kept server.

    Attributes:
        process: Which process it is.
        port: Its port on 127.0.0.1.
        url: Its address with user and password. A secret.
    """

    process: ProcessIdentity
    port: int
    url: str

    def __repr__(self) -> str:
        return f"<KeptServer pid={self.process.pid} port={self.port}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptServers:
    """What the state file of kept servers says.

    Attributes:
        directory: Their private directory.
        guard: The process that guards them.
        postgres: The database server.
        valkey: The Redis-compatible server.
    """

    directory: Path
    guard: ProcessIdentity
    postgres: KeptServer
    valkey: KeptServer


def write_state(
    runtime: RuntimeDirectory, postgres: EmbeddedServer, valkey: EmbeddedServer
) -> None:
    """Write the state file, for the user of this process alone."""
    guard = runtime.guard.identity
    if guard is None:
        raise EmbeddedServerError(BOTH, "their guard process has ended")
    state = {"format": _FORMAT, "guard": asdict(guard)} | {
        server.name: {"process": asdict(server.process), "port": server.port, "url": server.url}
        for server in (postgres, valkey)
    }
    path = runtime.path / _STATE_NAME
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(state, file, indent=2)


def read_kept(directory: Path) -> KeptServers:
    """Read which servers are kept in a directory.

    Raises:
        EmbeddedServerError: the directory holds no state file, or one that
            somebody else wrote or can read.
    """
    path = directory / _STATE_NAME
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise EmbeddedServerError(BOTH, f"none are kept in {directory}") from error
    with os.fdopen(descriptor, encoding="utf-8") as file:
        found = os.fstat(descriptor)
        # It names processes to end: a forged one must not make us end others.
        if found.st_uid != os.geteuid() or found.st_mode & _OTHERS:
            raise EmbeddedServerError(BOTH, f"{path} is not this user's own")
        try:
            state = json.load(file)
            if state["format"] != _FORMAT:
                raise EmbeddedServerError(BOTH, f"{path} is of another version")
            return KeptServers(
                directory=directory,
                guard=ProcessIdentity(**state["guard"]),
                postgres=_kept_server(state["postgres"]),
                valkey=_kept_server(state["valkey"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise EmbeddedServerError(BOTH, f"{path} cannot be understood") from error


def stop_kept(directory: Path) -> None:
    """End the servers kept in a directory, and remove the directory.

    Only the processes that the state file means are touched: one that took the
    id of a server that ended long ago is left alone.

    Raises:
        EmbeddedServerError: no servers are kept there, or they cannot be removed.
    """
    kept = read_kept(directory)
    if kept.guard.signal(signal.SIGTERM):
        kept.guard.wait_gone(60.0)
    if directory.exists():
        # The guard was killed, or the machine was started anew since.
        kept.guard.signal(signal.SIGKILL)
        kept.postgres.process.end(((signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)))
        kept.valkey.process.end(((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)))
        remove_directory(directory)
    with suppress(ChildProcessError):
        # If this very process started the guard, it still is a zombie of ours.
        os.waitpid(kept.guard.pid, os.WNOHANG)


def _kept_server(state: dict[str, Any]) -> KeptServer:
    return KeptServer(
        process=ProcessIdentity(**state["process"]), port=int(state["port"]), url=state["url"]
    )
