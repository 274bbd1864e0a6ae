"""An answer is lost on the way back: no client sends its command again."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from redis.exceptions import RedisError

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.errors import ServerUnavailableError
from cartsnitch_common.events import publish, publish_sync, sync_redis
from cartsnitch_common.events.client import RedisClient
from tests.event_payloads import prices
from tests.integration.redis.behaviour import connected
from tests.lossy import Loss, Lossy, lossy
from tests.redis_groups import SERVICE, SLOTS
from tests.redis_servers import RedisNode, private_directory, until

pytestmark = [pytest.mark.xdist_group("redis-sent-once"), pytest.mark.servers]

CHANNEL, STREAM = binding_of(PricesUpdated).channel, binding_of(PricesUpdated).stream
PUBLISHED = b"PUBLISH\r\n$25"
"""The command as it is sent, with a channel of that length: Sentinels publish too."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A client's way to the server.

    Attributes:
        url: What ``CARTSNITCH_REDIS_URL`` says.
        proxy: What every byte between client and server passes.
        server: The server behind it.
    """

    url: str
    proxy: Lossy
    server: RedisNode

    @property
    def settings(self) -> Settings:
        """With a patience that a test has."""
        return Settings.load(redis_url=self.url, redis_socket_timeout=0.4, redis_block_time=0.1)


def lone_cluster(runtime: Any, proxy: Lossy) -> Way:
    """A Cluster of one node, which says that it is reached through the proxy."""
    settings = ("cluster-enabled yes", f"cluster-announce-port {proxy.port}")
    node = RedisNode(runtime, "node", password="secret", settings=lambda _node: settings)
    node.start()
    proxy.target = node.port
    with node.admin() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
    return Way(
        url=f"redis+cluster://:{node.password}@127.0.0.1:{proxy.port}", proxy=proxy, server=node
    )


def lone_sentinel(runtime: Any, proxy: Lossy) -> Way:
    """A master, of which a Sentinel says that it is reached through the proxy."""
    node = RedisNode(runtime, "node", password="secret")
    node.start()
    proxy.target = node.port
    sentinel = RedisNode(
        runtime,
        "sentinel",
        password=secrets.token_hex(8),
        sentinel=True,
        settings=lambda _node: (
            f"sentinel monitor {SERVICE} 127.0.0.1 {proxy.port} 1",
            f"sentinel auth-pass {SERVICE} {node.password}",
        ),
    )
    sentinel.start()
    url = (
        f"redis+sentinel://:{node.password}@{sentinel.address}/{SERVICE}"
        f"?sentinel_password={sentinel.password}"
    )
    return Way(url=url, proxy=proxy, server=node)


def lone_server(runtime: Any, proxy: Lossy) -> Way:
    node = RedisNode(runtime, "node", password="secret")
    node.start()
    proxy.target = node.port
    return Way(url=f"redis://:{node.password}@127.0.0.1:{proxy.port}", proxy=proxy, server=node)


@pytest.fixture(scope="module", params=[lone_server, lone_sentinel, lone_cluster])
def way(request: Any) -> Iterator[Way]:
    with private_directory() as runtime, lossy() as proxy:
        yield request.param(runtime, proxy)


async def add(redis: RedisClient) -> None:
    await redis.xadd(STREAM, {"e": b"x"})


async def add_in_transaction(redis: RedisClient) -> None:
    async with redis.pipeline(transaction=True) as pipe:
        pipe.xadd(STREAM, {"e": b"x"})
        pipe.publish(CHANNEL, b"x")
        await pipe.execute()


async def tell(redis: RedisClient) -> None:
    await publish(redis, prices(), service="stickershock", key="k")


async def read(redis: RedisClient) -> None:
    await redis.xreadgroup("g", "c", {STREAM: ">"}, count=1)


@pytest.mark.parametrize("loss", ["cut", "silence"])
@pytest.mark.parametrize(
    ("work", "word"),
    [(add, b"XADD"), (add_in_transaction, b"XADD"), (tell, PUBLISHED), (read, b"XREADGROUP")],
    ids=["add", "transaction", "publish", "read"],
)
async def test_what_was_sent_is_not_sent_again(
    way: Way, work: Callable[[RedisClient], Awaitable[None]], word: bytes, loss: Loss
) -> None:
    """The caller is told; the server did it once; the client goes on with the next command."""
    async with connected(way.settings) as redis:
        with way.server.admin() as admin:
            admin.delete(STREAM)
            for _ in range(3):
                admin.xadd(STREAM, {"e": "before"})
            admin.xgroup_create(STREAM, "g", id=0)
            await redis.exists(STREAM)  # so that it is connected
            way.proxy.lose_answer(word, loss)
            with pytest.raises((RedisError, ServerUnavailableError)):
                await work(redis)
            assert await redis.exists(STREAM) == 1
            assert way.proxy.seen(word) == 1
            assert admin.xlen(STREAM) == (4 if word == b"XADD" else 3)
            assert admin.xpending(STREAM, "g")["pending"] == (1 if word == b"XREADGROUP" else 0)


@pytest.mark.parametrize("loss", ["cut", "silence"])
def test_what_a_thread_sent_is_not_sent_again(way: Way, loss: Loss) -> None:
    """The client for threads repeats nothing either."""
    client: Any = sync_redis(way.settings)
    client.exists(STREAM)
    way.proxy.lose_answer(PUBLISHED, loss)
    with pytest.raises(ServerUnavailableError):
        publish_sync(client, prices(), service="stickershock", key="k")
    assert client.exists(STREAM) in {0, 1}
    client.close()
    assert way.proxy.seen(PUBLISHED) == 1
