"""A connection of a client's pool that is kept from one exchange to the next.

To take a connection out of redis-py's pool and to put it back costs as much as to
publish an event. Who finds the lease taken goes to the pool as everybody does.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis import Redis as SyncRedis
    from redis.asyncio import Redis

_LEASES: Final[WeakKeyDictionary[Redis | SyncRedis, _Lease]] = WeakKeyDictionary()


class _Lease:
    """The connection that is kept; the pool counts it as used, and closes it as its own."""

    __slots__ = ("connection", "process", "turn")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.connection: Any = None
        self.process = 0  # a child process must not use its parent's connection


async def take(redis: Redis) -> Any:
    """A connection, connected, on which nothing waits to be read; ``give`` takes it back.

    Raises:
        RedisError: None could be had.
    """
    pool: Any = redis.connection_pool  # half of it is not annotated
    lease = _lease_of(redis)
    if not lease.turn.acquire(blocking=False):
        return await pool.get_connection()
    try:
        if lease.connection is None:
            lease.connection = await pool.get_connection()
        elif not await _is_good(lease.connection):
            await pool.ensure_connection(lease.connection)
    except BaseException:
        lease.turn.release()
        raise
    return lease.connection


async def give(redis: Redis, connection: Any) -> None:
    """Take back what ``take`` has given, in whatever state it is."""
    lease = _lease_of(redis)
    if connection is lease.connection:
        lease.turn.release()
    else:
        await redis.connection_pool.release(connection)


def take_sync(redis: Any) -> Any:
    """``take`` for threads."""
    pool = redis.connection_pool
    lease = _lease_of(redis)
    if not lease.turn.acquire(blocking=False):
        return pool.get_connection()
    try:
        if lease.connection is None or lease.process != os.getpid():
            lease.connection, lease.process = pool.get_connection(), os.getpid()
        else:
            _ensure(lease.connection)
    except BaseException:
        lease.turn.release()
        raise
    return lease.connection


def give_sync(redis: Any, connection: Any) -> None:
    """``give`` for threads."""
    lease = _lease_of(redis)
    if connection is lease.connection:
        lease.turn.release()
    else:
        redis.connection_pool.release(connection)


def _lease_of(redis: Redis | SyncRedis) -> _Lease:
    lease = _LEASES.get(redis)
    if lease is None:
        lease = _LEASES.setdefault(redis, _Lease())
    return lease


async def _is_good(connection: Any) -> bool:
    """Whether the pool would give the connection away as it is, which it finds out slowly."""
    try:
        return connection.is_connected and not await connection.can_read()
    except (RedisError, OSError):
        return False


def _ensure(connection: Any) -> None:
    """What the pool does before it gives a connection away: look whether it is still good."""
    if not connection.is_connected:
        connection.connect()
    try:
        stale = connection.can_read()
    except (RedisError, OSError):
        stale = True
    if stale:
        connection.disconnect()
        connection.connect()
