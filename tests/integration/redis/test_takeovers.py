"""What dies or moves while the bus works: masters are killed, slots change their node."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, RedisError
from sqlalchemy import text

from cartsnitch.event.v1 import CouponsUpdated, PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.embedded.ports import LOOPBACK
from cartsnitch_common.errors import ServerUnavailableError
from cartsnitch_common.events import publish, subscribe
from cartsnitch_common.events.relay import Relay
from tests import redis_groups
from tests.event_payloads import prices
from tests.integration.events import consuming, relaying
from tests.integration.redis.behaviour import (
    connected,
    in_order,
    new_consumer,
    until_effects,
    write,
)
from tests.integration.redis.conftest import QUICK

pytestmark = [pytest.mark.xdist_group("redis-takeovers"), pytest.mark.servers]

PRICES = binding_of(PricesUpdated).stream
COUPONS = binding_of(CouponsUpdated).stream


class Bus:
    """A relay and a consumer at work; what is written is seen to take effect."""

    def __init__(self, sessions: Any) -> None:
        self._sessions = sessions
        self._written: list[str] = []
        self._keys: list[str] = []

    async def passes(self, *keys: str) -> bool:
        """Whether new events take effect, each once and in order."""
        self._keys += keys
        self._written += await write(self._sessions, [*keys])
        found = await until_effects(self._sessions, len(self._written))
        return in_order(found, self._written, self._keys)


@asynccontextmanager
async def at_work(settings: Settings) -> AsyncIterator[Bus]:
    engine: Any = async_engine(settings, pool_size=10)
    sessions = async_sessions(engine)
    async with sessions.begin() as session:
        await session.execute(text("CREATE TABLE effects (key text, event_id uuid, n serial)"))
    async with connected(settings) as redis:
        consumer = new_consumer(redis, sessions)
        async with consuming.running(consumer), relaying.running(Relay(settings)):
            yield Bus(sessions)
    await engine.dispose()


async def heard_again(settings: Settings, change: Callable[[], Any]) -> bool:
    """Whether a subscription that began before a change hears what is published after it."""
    async with connected(settings) as redis, subscribe(redis, PricesUpdated) as events:
        await asyncio.to_thread(change)
        hearing = asyncio.ensure_future(anext(aiter(events)))
        async with asyncio.timeout(30):
            async with connected(settings) as other:
                while not hearing.done():
                    with suppress(ServerUnavailableError):  # until the new master is known
                        await publish(other, prices(), service="stickershock", key="after")
                    await asyncio.sleep(0.05)
        return (await hearing).key == "after"


def settings_of(url: str, database: str) -> Settings:
    return Settings.load(database_url=database, redis_url=url, **QUICK)


async def until_up(relay: Relay) -> None:
    """Relay until it works."""
    async with asyncio.timeout(20):
        while True:
            try:
                await relay.run_once()
            except RedisError:
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_killed_master_is_replaced(cartsnitch_database: str) -> None:
    """The Sentinels name the replica, and relay, consumer and subscription go on with it."""
    with redis_groups.sentinels() as group:
        settings = settings_of(group.url, cartsnitch_database)
        async with at_work(settings) as bus:
            assert await bus.passes("a", "b")
            old = group.master()
            assert await heard_again(settings, old.kill)
            assert await bus.passes("a", "b", "a")
            assert group.master() is not old
            old.start()  # it comes back as a replica, and is not taken for the master
            assert await bus.passes("b")


async def test_a_slot_moves_and_its_master_dies(cartsnitch_database: str) -> None:
    """In a Cluster the bus follows a stream to another node, and to its replica after a kill."""
    with redis_groups.cluster() as cluster:
        settings = settings_of(cluster.url, cartsnitch_database)
        async with at_work(settings) as bus:
            assert await bus.passes("a", "b")
            for target in (cluster.nodes[1], cluster.nodes[2], cluster.nodes[0]):
                if cluster.owner(PRICES) is not target:
                    await asyncio.to_thread(cluster.move, PRICES, target)
                assert await bus.passes("a", "b")
                assert cluster.owner(PRICES) is target
            assert await heard_again(settings, cluster.nodes[0].kill)
            assert await bus.passes("a", "b", "a")
            assert cluster.owner(PRICES) is cluster.nodes[3]


async def test_a_slot_on_its_way_holds_up_nothing(cartsnitch_database: str) -> None:
    """While a stream is moved, events go to where it is, and none waits for the end of it."""
    with redis_groups.cluster(replica=False) as cluster:
        settings = settings_of(cluster.url, cartsnitch_database)
        async with at_work(settings) as bus:
            assert await bus.passes("a", "b")
            source = cluster.owner(PRICES)
            target = next(node for node in cluster.nodes if node is not source)
            with cluster.moving(PRICES, target):
                assert await bus.passes("a", "b", "a")
                assert cluster.owner(PRICES) is source
            assert await bus.passes("b")


async def test_a_refused_question_leaves_no_answer_behind() -> None:
    """Who may not ask the node that a slot moves to is told so, and the connection stays good."""
    with redis_groups.cluster(replica=False) as cluster:
        source = cluster.owner(PRICES)
        target = next(node for node in cluster.nodes if node is not source)
        rules = ("on", ">word", "~*", "&*", "+@all", "-asking")
        for node in cluster.nodes:
            with node.admin() as admin:
                admin.execute_command("ACL", "SETUSER", "guest", *rules)
        url = re.sub("//.*@", "//guest:word@", cluster.url)
        with source.admin() as admin:
            admin.xadd(PRICES, {"e": "1"})
        async with connected(Settings.load(redis_url=url, **QUICK)) as redis:
            with cluster.moving(PRICES, target):
                for _ in range(3):
                    with pytest.raises(NoPermissionError):
                        await redis.xlen(PRICES)
                    assert await redis.ping(target_nodes=redis.get_node(LOOPBACK, target.port))
            assert await redis.xlen(PRICES) == 1


async def test_what_may_not_be_said_is_not_kept_twice(
    cartsnitch_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay that may write to streams, and on no channel, writes each event once and says so."""
    with redis_groups.cluster(replica=False) as cluster:
        rules = ("on", ">word", "~*", "resetchannels", "+@all")
        for node in cluster.nodes:
            with node.admin() as admin:
                admin.execute_command("ACL", "SETUSER", "mute", *rules)
        url = re.sub("//.*@", "//mute:word@", cluster.url)
        settings = settings_of(url, cartsnitch_database)
        engine: Any = async_engine(settings)
        sessions = async_sessions(engine)
        async with connected(settings) as redis:
            relay = Relay(settings, redis=redis, engine=engine)
            for _ in range(2):
                await write(sessions, ["a"])
                assert await relay.run_once() == 2
            assert len(await relaying.on_the_wire(redis, PRICES)) == 2
            assert await relaying.count(sessions, OutboxEvent) == 0
        await engine.dispose()
        assert caplog.text.count("cannot publish on cartsnitch.prices.updated") == 1


async def test_a_channel_without_a_node_holds_up_no_other(cartsnitch_database: str) -> None:
    """While one node is gone, events of channels on others pass; afterwards all do."""
    with redis_groups.cluster(replica=False) as cluster:
        settings = settings_of(cluster.url, cartsnitch_database)
        cluster.move(COUPONS, cluster.nodes[1])
        cluster.move(PRICES, cluster.nodes[2])
        engine: Any = async_engine(settings)
        sessions = async_sessions(engine)
        async with connected(settings) as redis:
            relay = Relay(settings, redis=redis, engine=engine)
            await write(sessions, ["a"])
            assert await relay.run_once() == 2
            cluster.nodes[1].kill()
            await write(sessions, ["b"])
            with pytest.raises(RedisError):
                await relay.run_once()
            assert len(await relaying.on_the_wire(redis, PRICES)) == 2
            assert await relaying.count(sessions, OutboxEvent) == 1
            cluster.nodes[1].start()
            await until_up(relay)
            assert len(await relaying.on_the_wire(redis, PRICES)) == 2
            assert await relaying.count(sessions, OutboxEvent) == 0
        await engine.dispose()


async def test_more_commands_than_connections_wait_for_their_turn() -> None:
    """In a Cluster too, who asks for more than there are connections gets one later."""
    with redis_groups.cluster(masters=1, replica=False) as cluster:
        async with connected(Settings.load(redis_url=cluster.url)) as redis:
            await redis.exists("nothing")  # or they wait for the first one to find the nodes
            many = [publish(redis, prices(), service="stickershock", key="k") for _ in range(300)]
            await asyncio.gather(*many)
            assert len(redis.get_primaries()[0]._connections) <= 50
