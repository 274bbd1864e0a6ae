"""Redis clients with every option that matters said aloud, and the check of a server.

``CARTSNITCH_REDIS_URL`` says which form of Redis there is: one server
(``redis://user:password@host:port/0``), a master that Sentinels name
(``redis+sentinel://user:password@host:port,host:port/service/0``), or a Cluster
(``redis+cluster://user:password@host:port,host:port``); ``rediss`` for TLS.

redis-py's defaults suit a cache. They repeat a command up to ten times when the
answer is lost, which turns one event into many, and break off an answer that
takes more than five seconds, as a blocking read may.
"""

from __future__ import annotations

from cartsnitch_common.events.client.checks import (
    check_redis,
    check_redis_sync,
    check_rights_sync,
)
from cartsnitch_common.events.client.cluster import ClusterClient
from cartsnitch_common.events.client.failures import redis_errors, redis_reason
from cartsnitch_common.events.client.making import (
    RedisClient,
    SyncRedisClient,
    async_redis,
    require_safe,
    sync_redis,
)

__all__ = [
    "ClusterClient",
    "RedisClient",
    "SyncRedisClient",
    "async_redis",
    "check_redis",
    "check_redis_sync",
    "check_rights_sync",
    "redis_errors",
    "redis_reason",
    "require_safe",
    "sync_redis",
]
