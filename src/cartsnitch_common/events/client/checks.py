"""Whether the servers are there, new enough, and let this login do what it must."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.contract.bindings import bindings
from cartsnitch_common.errors import ServerUnavailableError, ServerVersionError
from cartsnitch_common.events.client.cluster import ClusterClient, SyncClusterClient
from cartsnitch_common.events.client.failures import SETTING, redis_errors
from cartsnitch_common.events.client.making import async_redis, sync_redis
from cartsnitch_common.events.names import ENTRY_FIELD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cartsnitch_common.config import Settings
    from cartsnitch_common.events.client.making import SyncRedisClient

_OLDEST: Final = (7, 0)
_HELLO: Final = ("HELLO", 2)  # and not INFO, which access rules may forbid


async def check_redis(settings: Settings) -> str:
    """Ask the server, or every master of a Cluster, who it is.

    Returns:
        Its name and version.

    Raises:
        SettingError: The URL is not set, or is no URL that works.
        ServerUnavailableError: It cannot be reached or refuses the login.
        ServerVersionError: It is older than Redis 7.0.
    """
    client = async_redis(settings)
    try:
        with redis_errors():
            if isinstance(client, ClusterClient):
                await client.initialize()
                servers: list[Any] = client.get_primaries()
            else:
                servers = [client]
            return [_judge(await server.execute_command(*_HELLO)) for server in servers][-1]
    finally:
        await client.aclose()


def check_redis_sync(settings: Settings) -> str:
    """``check_redis`` for code without asyncio."""
    client: Any = sync_redis(settings)
    try:
        with redis_errors():
            servers = [client]
            if isinstance(client, SyncClusterClient):
                servers = [node.redis_connection for node in client.masters()]
            return [_judge(server.execute_command(*_HELLO)) for server in servers][-1]
    finally:
        client.close()


def check_rights_sync(settings: Settings) -> None:
    """Make sure that the login may publish and consume every event of the contract.

    The commands are queued in a MULTI and thrown away: the server judges rights, and
    whether it takes writes at all, when a command is queued. Nothing is written.

    Raises:
        SettingError: The URL is not set, or is no URL that works.
        ServerUnavailableError: It cannot be reached, or refuses one of the commands.
    """
    with redis_errors(), sync_redis(settings) as client:
        for binding in bindings():
            stream, group = binding.stream, ("cartsnitch", "1")
            with _connection(client, stream) as connection:
                for command in (
                    ("MULTI",),
                    ("XADD", stream, "*", ENTRY_FIELD, b""),
                    ("PUBLISH", binding.channel, b""),
                    ("XINFO", "GROUPS", stream),
                    ("XGROUP", "CREATE", stream, group[0], "0", "MKSTREAM"),
                    ("XGROUP", "SETID", stream, group[0], "0"),
                    ("XREADGROUP", "GROUP", *group, "STREAMS", stream, ">"),
                    ("XACK", stream, group[0], "0-0"),
                    ("DISCARD",),
                ):
                    connection.send_command(*command)
                    connection.read_response()


@contextmanager
def _connection(client: SyncRedisClient, stream: str) -> Iterator[Any]:
    """A connection of its own: a transaction that is thrown away has no replies to parse."""
    server: Any = client
    if isinstance(client, SyncClusterClient):
        server = client.node_of(stream).redis_connection
    connection = server.connection_pool.get_connection()
    try:
        yield connection
    finally:
        connection.disconnect()
        server.connection_pool.release(connection)


def _judge(reply: Any) -> str:
    if not isinstance(reply, list):
        raise ServerUnavailableError(SETTING, "the server does not speak Redis's protocol")
    facts = dict(zip(reply[::2], reply[1::2], strict=False))
    product = facts.get(b"server", b"redis").decode("ascii", "replace")
    version = facts.get(b"version", b"").decode("ascii", "replace")
    numbers = [int(part) for part in version.split(".")[:2] if part.isdecimal()]
    if tuple(numbers) < _OLDEST:
        needed = ".".join(str(part) for part in _OLDEST)
        raise ServerVersionError(
            SETTING, product=product, found=version or "of an unknown version", needed=needed
        )
    return f"{product} {version}"
