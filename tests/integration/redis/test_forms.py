"""The bus on the embedded Valkey, alone, behind Sentinels, and as a Cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from cartsnitch_common.config import Settings
from cartsnitch_common.events.client import ClusterClient
from tests import redis_groups, redis_servers
from tests.integration.redis.behaviour import (  # noqa: F401 - collected here
    connected,
    test_a_batch_reaches_its_streams,
    test_a_cut_subscription_listens_anew,
    test_events_published_together_are_heard,
    test_every_event_is_heard,
    test_lost_connections_lose_no_event,
    test_the_checks_name_the_server,
)
from tests.integration.redis.conftest import Place

pytestmark = [pytest.mark.xdist_group("redis-forms"), pytest.mark.servers]


@pytest.fixture(scope="module", params=["server", "sentinels", "cluster"])
def place(request: Any) -> Iterator[Place]:
    match request.param:
        case "server":
            with redis_servers.one_server() as node:
                yield Place(url=node.url, servers=[node])
        case "sentinels":
            # Connections are cut here, and no master shall be replaced for it.
            with redis_groups.sentinels(down_after=20_000) as group:
                yield Place(url=group.url, servers=[*group.servers])
        case "cluster":
            with redis_groups.cluster() as group:
                yield Place(url=group.url, servers=group.nodes)


async def test_a_command_on_a_connection_that_was_cut_is_an_outage(place: Place) -> None:
    """What was cut before a write is an error of the connection, on every node there is."""
    async with connected(Settings.load(redis_url=place.url)) as redis:
        if isinstance(redis, ClusterClient):
            await redis.ping(target_nodes=ClusterClient.ALL_NODES)
            nodes: list[Any] = redis.get_nodes()
            connections = [one for node in nodes for one in node._connections]
            assert len(connections) >= len(place.servers)
        else:
            await redis.ping()
            connections = [*redis.connection_pool._available_connections]
        for connection in connections:
            connection._writer.transport.abort()
        await asyncio.sleep(0.01)
        for connection in connections:
            with pytest.raises(RedisConnectionError):
                await connection.send_command("PING")
        assert await redis.ping()
