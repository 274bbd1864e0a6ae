"""Connections to the master that Sentinels name, asked anew for each connection.

A server that is master no longer refuses writes and cuts its clients, so that
after a fail-over the next command finds the new one. No command is sent twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis.asyncio
from redis.asyncio import sentinel as async_sentinel
from redis.sentinel import Sentinel, SentinelConnectionPool

from cartsnitch_common.events.client.connections import MasterConnection, TlsMasterConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from cartsnitch_common.events.client.urls import RedisUrl


class _Pool(async_sentinel.SentinelConnectionPool, redis.asyncio.BlockingConnectionPool):
    """Redis-py's pool of a master, which waits for a connection that is free."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


class _SyncPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    """The same for threads."""

    def close(self) -> None:
        super().close()
        for sentinel in self.sentinel_manager.sentinels:
            sentinel.close()


def sentinel_pool(
    url: RedisUrl, options: dict[str, Any], limits: dict[str, Any]
) -> redis.asyncio.BlockingConnectionPool:
    """The pool of a client for asyncio.

    Args:
        url: The Sentinels, the master's name, the logins and TLS, which is for both.
        options: Of every connection, to Sentinels and to the master.
        limits: Of the pool.
    """
    kind = MasterConnection if url.tls is None else TlsMasterConnection
    return _made(async_sentinel.Sentinel, _Pool, url, options, limits | {"connection_class": kind})


def sync_sentinel_pool(
    url: RedisUrl, options: dict[str, Any], limits: dict[str, Any]
) -> redis.BlockingConnectionPool:
    """``sentinel_pool`` for code without asyncio."""
    return _made(Sentinel, _SyncPool, url, options, limits)


def _made[P](
    manager: Any, pool: Callable[..., P], url: RedisUrl, options: dict[str, Any], limits: Any
) -> P:
    common = options | {"ssl": url.tls is not None} | (url.tls or {})
    sentinels = manager(url.addresses, sentinel_kwargs=common | url.sentinel_login)
    return pool(url.service, sentinels, **common, **url.login, **limits, db=url.database)
