"""A client of a Cluster that repeats nothing, and follows where the names have gone.

A redirection (MOVED, ASK) is followed: the server that sends it has done nothing.
redis-py's own pipeline with MULTI starts a thread for each command, and its errors
about the Cluster's layout are none of its errors about Redis; both stand here anew.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio.cluster import ClusterNode, ClusterPubSub, RedisCluster
from redis.cluster import RedisCluster as SyncRedisCluster
from redis.commands import AsyncCoreCommands
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    ExecAbortError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from cartsnitch_common.errors import SetupError
from cartsnitch_common.events.client.connections import (
    NodeConnection,
    OnItsWayError,
    TlsNodeConnection,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_LOST = (RedisConnectionError, RedisTimeoutError, OSError)


class ClusterClient(RedisCluster):
    """Redis-py's client of a Cluster, with one connection a command and no repetition."""

    def __init__(self, *, max_connections: int, timeout: float, **options: Any) -> None:
        """Describe it; it connects when it is first used.

        Args:
            max_connections: How many commands may be under way; more wait.
            timeout: Unit: seconds that they wait.
            **options: Of redis-py's client.
        """
        # Subscriptions take connections of a node too, without a turn.
        super().__init__(max_connections=2 * max_connections, **options)
        # Which redis-py does not let its caller say; nodes that are found later are made of this.
        kind = TlsNodeConnection if options.get("ssl") else NodeConnection
        self.nodes_manager.connection_kwargs["connection_class"] = kind
        for node in self.nodes_manager.startup_nodes.values():
            node.connection_class = kind
        self._turns = asyncio.Semaphore(max_connections)
        self._patience = timeout

    async def initialize(self, *args: Any, **options: Any) -> Self:
        """Ask for the nodes, if that was not done."""
        with _errors_of_redis():
            await super().initialize(*args, **options)
        return self

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that it belongs to."""
        async with self.turn():
            if args[0] == "XREADGROUP":
                # redis-py would ask a server each time where its keys stand.
                names = next(at for at, arg in enumerate(args) if arg in {b"STREAMS", "STREAMS"})
                options["target_nodes"] = await self.node_of(args[names + 1])
            with _errors_of_redis():
                return await super().execute_command(*args, **options)

    async def _execute_command(self, target_node: Any, *args: Any, **options: Any) -> Any:
        try:
            return await super()._execute_command(target_node, *args, **options)
        except OnItsWayError as moving:
            node: Any = await self.node_at(moving)
        async with self.connection_to(node) as connection:
            await connection.send_packed_command(connection.pack_commands([("ASKING",), args]))
            if (refused := await _refusal(connection)) is not None:
                await _refusal(connection)  # of the command: nobody else may read it
                raise refused
            return await node.parse_response(connection, args[0], **options)

    async def say(self, channel: str, messages: Sequence[bytes]) -> list[ResponseError | None]:
        """Publish messages in one write and in their order, each by itself and once.

        Returns:
            Of each why it was refused; None of one that is out.

        Raises:
            RedisError: The connection was lost: nobody knows what is out.
        """
        commands = [("PUBLISH", channel, message) for message in messages]
        async with self.turn(), self.connection_to(await self.node_of(channel)) as connection:
            await connection.send_packed_command(connection.pack_commands(commands))
            return [await _refusal(connection) for _ in messages]

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """A transaction on one node; without one, redis-py's pipeline."""
        make: Any = Transaction  # an abstract class of redis-py, whose rest is not needed
        return make(self) if transaction else super().pipeline(transaction, shard_hint)

    def pubsub(self, *args: Any, **options: Any) -> ClusterPubSub:
        """A subscription on one node, which hears what is published on any."""
        return _PubSub(self, *args, **options)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for leave to use a connection."""
        try:
            async with asyncio.timeout(self._patience):
                await self._turns.acquire()
        except TimeoutError as error:
            raise RedisConnectionError("no connection is free") from error
        try:
            yield
        finally:
            self._turns.release()

    @asynccontextmanager
    async def connection_to(self, node: ClusterNode) -> AsyncIterator[Any]:
        """One of a node's connections; when it is lost, the others are asked where names are."""
        connection = node.acquire_connection()
        try:
            await node.disconnect_if_needed(connection)
            yield connection
        except _LOST:
            await self.refresh(node)
            raise
        finally:
            node.release(connection)

    async def node_of(self, name: Any) -> ClusterNode:
        """The node of a key or channel."""
        await self.initialize()
        with _errors_of_redis():
            node = self.get_node_from_key(name)
        if node is None:
            raise RedisConnectionError("no node has the key")
        return node

    async def node_at(self, moving: OnItsWayError) -> ClusterNode:
        """The node that a name is on its way to, which may be a new one."""
        node = self.get_node(moving.host, moving.port)
        if node is None:
            await self.refresh(None)
            node = self.get_node(moving.host, moving.port)
        if node is None:
            raise RedisConnectionError("the Cluster names a node that it does not list")
        return node

    async def refresh(self, lost: ClusterNode | None) -> None:
        """Ask where the names are now, the lost node last; what cannot be asked stays."""
        with suppress(RedisError, RedisClusterException, OSError):
            await self.nodes_manager.initialize(last_failed_node_name=lost.name if lost else None)


class Transaction(AsyncCoreCommands):
    """Commands in one MULTI, on names of one channel. Sent once, in one piece."""

    def __init__(self, client: ClusterClient) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._commands.clear()

    def execute_command(self, *args: Any, **_options: Any) -> Self:
        """Queue a command, whose second word is the name."""
        self._commands.append(args)
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002 - as in redis-py
        """Run what was queued, and return the server's replies.

        Args:
            raise_on_error: Raise the first reply that is an error.

        Raises:
            SetupError: The names are not of one slot.
            RedisError: A command was refused, and none was run; or the connection was
                lost, and nobody knows.
        """
        commands, self._commands = self._commands, []
        if not commands:
            return []
        if len({self._client.keyslot(command[1]) for command in commands}) > 1:
            raise SetupError("a transaction in a Cluster takes names of one channel only")
        async with self._client.turn():
            node = await self._client.node_of(commands[0][1])
            try:
                replies = await self._run(node, commands)
            except MovedError:  # nothing was run there
                await self._client.refresh(None)
                replies = await self._run(await self._client.node_of(commands[0][1]), commands)
            except OnItsWayError as moving:  # nor there
                node = await self._client.node_at(moving)
                replies = await self._run(node, commands, asking=True)
        if raise_on_error:
            for reply in replies:
                if isinstance(reply, Exception):
                    raise reply
        return replies

    async def _run(
        self, node: ClusterNode, commands: list[tuple[Any, ...]], *, asking: bool = False
    ) -> list[Any]:
        # Within a MULTI that stands behind it, ASKING holds for all of them.
        begin = [("ASKING",), ("MULTI",)] if asking else [("MULTI",)]
        async with self._client.connection_to(node) as connection:
            packed = connection.pack_commands([*begin, *commands, ("EXEC",)])
            await connection.send_packed_command(packed)
            answers = [await _refusal(connection) for _ in range(len(begin) + len(commands))]
            try:
                replies: list[Any] = await connection.read_response()
            except ExecAbortError as aborted:
                refused = next((answer for answer in answers if answer is not None), None)
                raise refused or aborted from None
        return replies


async def _refusal(connection: Any) -> ResponseError | None:
    """Read an answer of which only an error matters."""
    try:
        await connection.read_response()
    except ResponseError as error:
        return error
    return None


class _PubSub(ClusterPubSub):
    """redis-py's subscription, which finds another node when its own is gone."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        cluster: Any = self.cluster
        await cluster.initialize()
        try:
            return await super().execute_command(*args, **options)
        except _LOST:
            await cluster.refresh(self.node)
            raise


class SyncClusterClient(SyncRedisCluster):
    """The client of a Cluster for threads."""

    def __init__(self, **options: Any) -> None:
        with _errors_of_redis():
            super().__init__(**options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command on the node that it belongs to."""
        with _errors_of_redis():
            base: Any = super()  # not annotated
            return base.execute_command(*args, **options)

    def masters(self) -> list[Any]:
        """The nodes that take writes, in redis-py's own class."""
        base: Any = super()
        return list(base.get_primaries())

    def node_of(self, name: str) -> Any:
        """The node of a key or channel, in redis-py's own class."""
        base: Any = super()
        with _errors_of_redis():
            return base.get_node_from_key(name)


@contextmanager
def _errors_of_redis() -> Iterator[None]:
    """Make redis-py's errors about a Cluster's layout errors of a connection."""
    try:
        yield
    except RedisClusterException as error:
        raise RedisConnectionError("the Cluster cannot serve it") from error
