"""Clients that repeat nothing and wait as long as the settings say, for every form of Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

import redis.asyncio
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode as SyncClusterNode
from redis.cluster import RedisCluster as SyncRedisCluster
from redis.connection import Connection as SyncConnection
from redis.connection import SSLConnection as SyncSSLConnection
from redis.retry import Retry

from cartsnitch_common.errors import SetupError
from cartsnitch_common.events.client.cluster import ClusterClient, SyncClusterClient
from cartsnitch_common.events.client.connections import ServerConnection, TlsConnection
from cartsnitch_common.events.client.failures import redis_errors
from cartsnitch_common.events.client.sentinel import sentinel_pool, sync_sentinel_pool
from cartsnitch_common.events.client.urls import Form, RedisUrl

if TYPE_CHECKING:
    from cartsnitch_common.config import Settings

type RedisClient = redis.asyncio.Redis | RedisCluster
"""What ``async_redis`` makes."""

type SyncRedisClient = redis.Redis | SyncRedisCluster
"""What ``sync_redis`` makes."""

MAX_CONNECTIONS: Final = 50
"""Connections of one client; who asks for more waits."""


def async_redis(settings: Settings) -> RedisClient:
    """A client for asyncio. It connects when it is first used; close it with ``aclose``.

    Raises:
        SettingError: ``CARTSNITCH_REDIS_URL`` is not set, or is no URL that works.
    """
    url = RedisUrl.read(settings)
    options = _options(settings) | {"retry": AsyncRetry(NoBackoff(), 0)}
    limits = _limits(settings)
    match url.form:
        case Form.SERVER:
            return redis.asyncio.Redis.from_pool(
                redis.asyncio.BlockingConnectionPool(
                    connection_class=ServerConnection if url.tls is None else TlsConnection,
                    **_server(url),
                    **options,
                    **limits,
                )
            )
        case Form.SENTINEL:
            return redis.asyncio.Redis.from_pool(sentinel_pool(url, options, limits))
        case Form.CLUSTER:
            return ClusterClient(
                startup_nodes=[ClusterNode(*address) for address in url.addresses],
                ssl=url.tls is not None,
                reinitialize_steps=0,  # or each fifth redirection cuts every connection
                **(url.login | (url.tls or {})),
                **options,
                **limits,
            )
        case never:
            assert_never(never)


def sync_redis(settings: Settings) -> SyncRedisClient:
    """A client for threads. It connects when it is first used; close it with ``close``.

    Raises:
        SettingError: ``CARTSNITCH_REDIS_URL`` is not set, or is no URL that works.
        ServerUnavailableError: No node of a Cluster answers: it is asked at once for the others.
    """
    url = RedisUrl.read(settings)
    options = _options(settings) | {"retry": Retry(NoBackoff(), 0)}
    limits = _limits(settings)
    match url.form:
        case Form.SERVER:
            make: Any = redis.BlockingConnectionPool  # not annotated
            return redis.Redis.from_pool(
                make(
                    connection_class=SyncConnection if url.tls is None else SyncSSLConnection,
                    **_server(url),
                    **options,
                    **limits,
                )
            )
        case Form.SENTINEL:
            return redis.Redis.from_pool(sync_sentinel_pool(url, options, limits))
        case Form.CLUSTER:
            with redis_errors():
                node: Any = SyncClusterNode  # not annotated
                return SyncClusterClient(
                    startup_nodes=[node(*address) for address in url.addresses],
                    ssl=url.tls is not None,
                    reinitialize_steps=0,
                    max_connections=MAX_CONNECTIONS,  # of a node; redis-py lets nobody wait here
                    **(url.login | (url.tls or {})),
                    **options,
                )
        case never:
            assert_never(never)


def require_safe(client: RedisClient, *, block: float = 0) -> None:
    """Refuse a client that repeats commands or gives up on them too early.

    A repeated read leaves the first one's entries behind, delivered to nobody.

    Args:
        client: The client.
        block: Unit: seconds that it will be asked to wait for an answer.

    Raises:
        SetupError: It is none of ``async_redis``, or ``block`` is not below its timeout.
    """
    options: dict[str, Any] = client.get_connection_kwargs()
    retry: Any = client.retry if isinstance(client, RedisCluster) else options.get("retry")
    if retry is None or retry.get_retries() or options.get("legacy_responses", True):
        raise SetupError("the Redis client must be one of cartsnitch_common.events.async_redis")
    timeout = options.get("socket_timeout")
    if timeout is not None and block >= timeout:
        raise SetupError(f"a wait of {block:g} s must be below the socket timeout of {timeout:g} s")


def _options(settings: Settings) -> dict[str, Any]:
    return {
        # All our commands are answered alike in RESP2, which every server speaks
        # and redis-py reads faster; no server then pushes messages of its own, nor does
        # redis-py ask for notices of maintenance.
        "protocol": 2,
        "legacy_responses": False,
        "driver_info": None,  # no CLIENT SETINFO, which access rules would have to allow
        "decode_responses": False,
        "socket_timeout": settings.redis_socket_timeout,
        "socket_connect_timeout": settings.redis_connect_timeout,
        "socket_keepalive": True,
        # Without retries a PING before a command fails where the command would.
        "health_check_interval": 0,
        "retry_on_error": [],
    }


def _limits(settings: Settings) -> dict[str, Any]:
    return {
        "max_connections": MAX_CONNECTIONS,
        "timeout": settings.redis_socket_timeout,  # until a connection is free
    }


def _server(url: RedisUrl) -> dict[str, Any]:
    ((host, port),) = url.addresses
    return {"host": host, "port": port, "db": url.database} | url.login | (url.tls or {})
