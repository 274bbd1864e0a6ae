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
from tests.authority import Authority

SERVICE = "main"
"""What the Sentinels call their master."""

SLOTS = 16384


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
    """

    name: Any = "redis"
    _stop_ending: ClassVar[Ending] = ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
    _close_ending: ClassVar[Ending] = ((signal.SIGKILL, 5.0),)

    def __init__(
        self,
        runtime: RuntimeDirectory,
        name: str,
        *,
        password: str,
        settings: Callable[[RedisNode], Sequence[str]] = lambda _node: (),
        program: Path | None = None,
        tls: tuple[Path, Path, Path] | None = None,
        sentinel: bool = False,
    ) -> None:
        super().__init__(runtime)
        self.name = name
        self._password = password
        self._settings = settings
        self._program = program
        self._tls = tls
        self._sentinel = sentinel

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
        assert self._tls is None
        return redis.Redis(port=self.port, password=self.password, decode_responses=True)

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
            lines += ['save ""', "appendonly no", f"user default on #{password} ~* &* +@all"]
        text = "\n".join([*lines, *self._settings(self), ""])
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
def one_server(program: Path | None = None) -> Iterator[RedisNode]:
    """A server alone."""
    with private_directory() as runtime:
        node = RedisNode(runtime, "one", password=secrets.token_hex(8), program=program)
        node.start()
        yield node


@contextmanager
def tls_server(ours: Authority, *, mutual: bool = False) -> Iterator[RedisNode]:
    """The distribution's Redis, with a certificate of an authority; Valkey's wheel has no TLS.

    Args:
        ours: Who issues the certificate.
        mutual: Let in who has a certificate of the same authority only.
    """
    certificate, key = ours.issue("localhost")
    wanted = "yes" if mutual else "no"
    with private_directory() as runtime:
        node = RedisNode(
            runtime,
            "tls",
            password=secrets.token_hex(8),
            program=distribution_redis(),
            tls=(certificate, key, ours.file),
            settings=lambda _node: (f"tls-auth-clients {wanted}",),
        )
        node.start()
        yield node


class Sentinels:
    """A master, a replica, and three Sentinels that watch them.

    Attributes:
        servers: The servers; the first one is master at the beginning.
        sentinels: The Sentinels.
    """

    def __init__(self, runtime: RuntimeDirectory) -> None:
        password, self.secret = secrets.token_hex(8), secrets.token_hex(8)
        common = (f"masterauth {password}", "masteruser default", "repl-diskless-sync-delay 0")
        first = RedisNode(runtime, "first", password=password, settings=lambda _node: common)
        second = RedisNode(
            runtime,
            "second",
            password=password,
            settings=lambda _node: (*common, f"replicaof {LOOPBACK} {first.port}"),
        )
        self.servers = (first, second)
        self.sentinels = [
            RedisNode(
                runtime,
                f"sentinel-{number}",
                password=self.secret,
                sentinel=True,
                settings=lambda _node: (
                    f"sentinel monitor {SERVICE} {LOOPBACK} {first.port} 2",
                    f"sentinel auth-user {SERVICE} default",
                    f"sentinel auth-pass {SERVICE} {password}",
                    f"sentinel down-after-milliseconds {SERVICE} 400",
                    f"sentinel failover-timeout {SERVICE} 3000",
                ),
            )
            for number in range(3)
        ]

    @property
    def url(self) -> str:
        """The Sentinels' addresses, with both passwords. A secret."""
        addresses = ",".join(node.address for node in self.sentinels)
        login = f"default:{self.servers[0].password}"
        option = f"sentinel_password={self.secret}"
        return f"redis+sentinel://{login}@{addresses}/{SERVICE}/0?{option}"

    def start(self) -> None:
        """Start them, and wait until the Sentinels know each other and the replica."""
        started(*self.servers)
        started(*self.sentinels)
        until(self._know_each_other)

    def master(self) -> RedisNode:
        """The server that the first Sentinel calls master."""
        with self.sentinels[0].admin() as sentinel:
            _, port = sentinel.sentinel_get_master_addr_by_name(SERVICE)
        return next(node for node in self.servers if node.port == port)

    def _know_each_other(self) -> bool:
        found = []
        for node in self.sentinels:
            with node.admin() as sentinel:
                state = sentinel.sentinel_master(SERVICE)
                found.append((state["num-other-sentinels"], state["num-slaves"]))
        return all(others == 2 and replicas == 1 for others, replicas in found)


@contextmanager
def sentinels() -> Iterator[Sentinels]:
    """A master, a replica and three Sentinels."""
    with private_directory() as runtime:
        group = Sentinels(runtime)
        group.start()
        yield group


class Cluster:
    """Three masters, and a replica of the first if asked for.

    Attributes:
        nodes: The nodes; masters first.
    """

    def __init__(
        self, runtime: RuntimeDirectory, *, masters: int = 3, replica: bool = True
    ) -> None:
        self._masters = masters
        password = secrets.token_hex(8)
        self.nodes = [
            RedisNode(
                runtime,
                f"node-{number}",
                password=password,
                settings=lambda _node: (
                    "cluster-enabled yes",
                    f"cluster-port {free_port()}",
                    "cluster-node-timeout 800",
                    "cluster-require-full-coverage no",
                    "cluster-allow-replica-migration no",
                    f"masterauth {password}",
                    "masteruser default",
                    "repl-diskless-sync-delay 0",
                ),
            )
            for number in range(masters + replica)
        ]

    @property
    def url(self) -> str:
        """The nodes' addresses, with user and password. A secret."""
        addresses = ",".join(node.address for node in self.nodes)
        return f"redis+cluster://default:{self.nodes[0].password}@{addresses}"

    def start(self) -> None:
        """Start them, share the slots out, and wait until all agree."""
        started(*self.nodes)
        first = self.nodes[0].admin()
        share = SLOTS // self._masters + 1
        for number, node in enumerate(self.nodes):
            with node.admin() as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                if number < self._masters:
                    last = min(SLOTS, (number + 1) * share) - 1
                    client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last)
                bus = client.config_get("cluster-port")["cluster-port"]
                first.execute_command("CLUSTER", "MEET", LOOPBACK, node.port, bus)
        until(lambda: all(self._is_whole(node) for node in self.nodes))
        for node in self.nodes[self._masters :]:
            with node.admin() as client:
                client.execute_command("CLUSTER", "REPLICATE", self.identity(self.nodes[0]))
                until(lambda: client.info("replication")["master_link_status"] == "up")
        until(lambda: self._known_replicas() == len(self.nodes) - self._masters)
        first.close()

    def identity(self, node: RedisNode) -> str:
        """What the others call a node."""
        with node.admin() as client:
            return client.execute_command("CLUSTER", "MYID")

    def owner(self, name: str) -> RedisNode:
        """The node that has a key, as the last node says."""
        with self.nodes[-1].admin() as client:
            slot = client.execute_command("CLUSTER", "KEYSLOT", name)
            for low, high, (_, port, *_more), *_ in client.execute_command("CLUSTER", "SLOTS"):
                if low <= slot <= high:
                    return next(node for node in self.nodes if node.port == port)
        raise LookupError(name)

    def move(self, name: str, target: RedisNode) -> None:
        """Move the slot of a key to another node, with what is in it."""
        source = self.owner(name)
        with source.admin() as giver, target.admin() as taker:
            slot = giver.execute_command("CLUSTER", "KEYSLOT", name)
            here, there = self.identity(source), self.identity(target)
            taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
            giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
            for key in giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                login = ("AUTH2", "default", source.password)
                giver.execute_command("MIGRATE", LOOPBACK, target.port, key, 0, 5000, *login)
            for client in (taker, giver):
                client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", there)

    def _is_whole(self, node: RedisNode) -> bool:
        with node.admin() as client:
            info = client.execute_command("CLUSTER INFO")
        known = int(info["cluster_known_nodes"])
        return info["cluster_state"] == "ok" and known == len(self.nodes)

    def _known_replicas(self) -> int:
        with self.nodes[-1].admin() as client:
            ranges = client.execute_command("CLUSTER", "SLOTS")
        return sum(len(found) - 3 for found in ranges)


@contextmanager
def cluster(*, masters: int = 3, replica: bool = True) -> Iterator[Cluster]:
    """Nodes of a Cluster that is ready."""
    with private_directory() as runtime:
        group = Cluster(runtime, masters=masters, replica=replica)
        group.start()
        yield group


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until servers have agreed."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the servers do not agree"
        time.sleep(0.02)
