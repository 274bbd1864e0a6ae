from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.events import async_redis
from tests.behaviour.adapters import (
    Adapter,
    MemoryPubSub,
    MemoryStreams,
    RedisPubSub,
    RedisStreams,
)


@pytest.fixture(params=["pubsub", "streams", "memory pubsub", "memory streams"])
async def adapter(request: Any) -> AsyncIterator[Adapter]:
    match request.param:
        case "memory pubsub":
            yield MemoryPubSub()
        case "memory streams":
            yield MemoryStreams()
        case kind:
            settings: Settings = request.getfixturevalue("settings")
            redis = async_redis(settings)
            engine = async_engine(settings)
            streams = RedisStreams(redis, async_sessions(engine))
            yield RedisPubSub(redis) if kind == "pubsub" else streams
            await redis.aclose()
            await engine.dispose()
