"""Redis in each form that the package speaks to: servers, Sentinels, a Cluster, with TLS."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import redis

from cartsnitch_common.embedded.identity import Ending
from cartsnitch_common.embedded.ports import LOOPBACK, free_port
from cartsnitch_common.embedded.programs import usable_valkey
from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory
from cartsnitch_common.embedded.server import EmbeddedServer
from cartsnitch_common.embedded.valkey import _ask as ask


def distribution_redis() -> Path:
    """The distribution's redis-server; without it these tests are not collected."""
    found = shutil.which("redis-server", path=os.pathsep.join(["/usr/bin", "/usr/local/bin"]))
    assert found is not None
    return Path(found)


class RedisNode(EmbeddedServer):
    """One process of Redis or Valkey, as root as an account without rights.

    Args:
        runtime: The private directory that it shares with others.
        name: Its name there.
        password: Of the user ``default``.
        settings: More lines of its configuration, when its port is known.
        program: Another program than the embedded Valkey.
        tls: Speak TLS only: the certificate's file, its key's, and the authority's.
        sentinel: Be a Sentinel, which writes its configuration itself.
        acl: The file of users to start with, instead of ``default`` alone.

    Attributes:
        bus_port: Where other nodes of a Cluster reach it. By default that is 10000 above its
            port, among those of outgoing connections, of which one may have it already.
    """

    name: Any = "redis"
    _stop_ending: ClassVar[Ending] = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
    _close_ending: ClassVar[Ending] = ((signal.SIGKILL, 5.0),)

    def __init__(  # noqa: PLR0913 - all but two are keywords with a default
        self,
        runtime: RuntimeDirectory,
        name: str,
        *,
        password: str,
        settings: Callable[[RedisNode], Sequence[str]] = lambda _node: (),
        program: Path | None = None,
        tls: tuple[Path, Path, Path] | None = None,
        sentinel: bool = False,
        acl: str | None = None,
    ) -> None:
        super().__init__(runtime)
        self.name = name
        self._password = password
        self._settings = settings
        self._program = program
        self._tls = tls
        self._sentinel = sentinel
        self._acl = acl
        self.bus_port = free_port()

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """With user and password. A secret."""
        scheme = "rediss" if self._tls else "redis"
        return f"{scheme}://default:{self.password}@{self.address}/0"

    def admin(self) -> redis.Redis:
        """A client that may do everything; close it."""
        secure: dict[str, Any] = {}
        if self._tls:
            certificate, key, authority = self._tls
            secure = {"ssl": True, "ssl_ca_certs": str(authority)}
            secure |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        return redis.Redis(
            LOOPBACK, self.port, password=self.password, decode_responses=True, **secure
        )

    def _prepare(self) -> None:
        self._runtime.make_folder(self.name)
        if self._program is None:
            self._program = usable_valkey(self._runtime)

    def _arguments(self) -> list[str | Path]:
        folder = self._runtime.path / self.name
        password = hashlib.sha256(self.password.encode()).hexdigest()
        lines = [f"bind {LOOPBACK}", "daemonize no", f"dir {folder}"]
        if self._tls:
            names = ("tls-cert-file", "tls-key-file", "tls-ca-cert-file")
            files = [
                self._runtime.write(f"{self.name}.{name}", path.read_text())
                for name, path in zip(names, self._tls, strict=True)
            ]
            lines += [f"{name} {path}" for name, path in zip(names, files, strict=True)]
            lines += ["port 0", f"tls-port {self.port}"]
        else:
            lines.append(f"port {self.port}")
        if self._sentinel:
            lines.append(f"requirepass {self.password}")
        else:
            # DEBUG, so that the rules can be seen to forbid it and not the build.
            lines += ['save ""', "appendonly no", "enable-debug-command local"]
            if self._acl is None:
                lines.append(f"user default on #{password} ~* &* +@all")
            else:
                lines.append(f"aclfile {self._runtime.write(f'{self.name}.acl', self._acl)}")
        lines += self._settings(self)
        if "cluster-enabled yes" in lines:
            lines.append(f"cluster-port {self.bus_port}")
        text = "\n".join([*lines, ""])
        if not self._sentinel:
            return [self._program or "", self._runtime.write(f"{self.name}.conf", text)]
        configuration = folder / "sentinel.conf"
        if not configuration.exists():
            configuration.write_text(text)
            account = self._runtime.account
            if account is not None:
                os.chown(configuration, account.uid, account.gid)
        return [self._program or "", configuration, "--sentinel"]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=0.25) as client:
                if self._tls:
                    return True
                return (
                    ask(client, f"AUTH default {self.password}") == "+OK"
                    and ask(client, "PING") == "+PONG"
                )
        except OSError:
            return False


@contextmanager
def private_directory() -> Iterator[RuntimeDirectory]:
    """A directory and a guard for some nodes, which ends them all."""
    runtime = RuntimeDirectory.create()
    try:
        yield runtime
    finally:
        runtime.close()


def started(*nodes: RedisNode) -> None:
    """Start nodes at once."""
    for node in nodes:
        node.begin()
    for node in nodes:
        node.wait_ready()


@contextmanager
def one_server(
    program: Path | None = None, *, password: str | None = None, acl: str | None = None
) -> Iterator[RedisNode]:
    """A server alone."""
    with private_directory() as runtime:
        password = password or secrets.token_hex(8)
        node = RedisNode(runtime, "one", password=password, program=program, acl=acl)
        node.start()
        yield node


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until servers have agreed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the servers do not agree"
        time.sleep(0.02)
