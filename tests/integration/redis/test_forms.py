"""The bus on the embedded Valkey, alone, behind Sentinels, and as a Cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests import redis_groups, redis_servers
from tests.integration.redis.behaviour import (  # noqa: F401 - collected here
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
