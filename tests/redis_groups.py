"""Servers of Redis that belong together: Sentinels with their servers, a Cluster."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from cartsnitch_common.embedded.ports import LOOPBACK
from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory
from tests.redis_servers import RedisNode, private_directory, started, until

SERVICE = "main"
"""What the Sentinels call their master."""

SLOTS = 16384


class Sentinels:
    """A master, a replica, and three Sentinels that watch them.

    Attributes:
        servers: The servers; the first one is master at the beginning.
        sentinels: The Sentinels.
    """

    def __init__(self, runtime: RuntimeDirectory, down_after: int) -> None:
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
                    f"sentinel down-after-milliseconds {SERVICE} {down_after}",
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
def sentinels(*, down_after: int = 400) -> Iterator[Sentinels]:
    """A master, a replica and three Sentinels.

    Args:
        down_after: Unit: milliseconds of silence after which the master is replaced.
    """
    with private_directory() as runtime:
        group = Sentinels(runtime, down_after)
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
            RedisNode(runtime, f"node-{number}", password=password, settings=self._settings)
            for number in range(masters + replica)
        ]

    def _settings(self, node: RedisNode) -> list[str]:
        return [
            "cluster-enabled yes",
            "cluster-node-timeout 800",
            "cluster-require-full-coverage no",
            "cluster-allow-replica-migration no",
            f"masterauth {node.password}",
            "masteruser default",
            "repl-diskless-sync-delay 0",
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
                first.execute_command("CLUSTER", "MEET", LOOPBACK, node.port, node.bus_port)
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
        with self.moving(name, target):
            pass

    @contextmanager
    def moving(self, name: str, target: RedisNode) -> Iterator[None]:
        """Move it, and be in the midst: what is in it is there, and the slot is not."""
        source = self.owner(name)
        with source.admin() as giver, target.admin() as taker:
            slot = giver.execute_command("CLUSTER", "KEYSLOT", name)
            here, there = self.identity(source), self.identity(target)
            taker.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
            giver.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", there)
            for key in giver.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
                login = ("AUTH2", "default", source.password)
                giver.execute_command("MIGRATE", LOOPBACK, target.port, key, 0, 5000, *login)
            yield
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
