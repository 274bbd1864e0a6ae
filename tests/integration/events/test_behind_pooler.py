from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from sqlalchemy import make_url

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.embedded import EmbeddedServers
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.relay import Relay, RelayOptions
from tests.integration.engine.pooler import PgBouncer
from tests.integration.events.chaining import new_consumer
from tests.integration.events.consuming import add, effects_by_key, until
from tests.integration.events.consuming import running as consuming
from tests.integration.events.relaying import by_key, on_the_wire, running, until_empty, write


async def test_relays_work_behind_a_pooler(
    settings: Settings, sessions: Any, redis: Redis, servers: EmbeddedServers
) -> None:
    """In PgBouncer's transaction mode, with fewer connections than relays, all is the same."""
    database = make_url(settings.require_database_url())
    with PgBouncer(servers.database_url, pool_size=2) as pooler:
        url = database.set(port=pooler.port).render_as_string(hide_password=False)
        pooled = Settings.load(
            database_url=f"{url}?prepared_statement_cache_size=0",
            redis_url=settings.require_redis_url(),
        )
        options = RelayOptions(batch_size=10)
        async with running(*(Relay(pooled, options=options) for _ in range(4))):
            sent = await write(sessions, *(f"key-{number % 30}" for number in range(300)))
            await until_empty(sessions)
    out = await on_the_wire(redis)
    assert len(out) == len(sent)
    assert by_key(out) == by_key(sorted(out, key=lambda envelope: sent.index(envelope.event_id)))


async def test_commits_that_begin_the_next_event_work_behind_a_pooler(
    settings: Settings, redis: Redis, effects: Any, servers: EmbeddedServers
) -> None:
    """Two connections for six handlers: each event has one effect, in order, in its transaction."""
    database = make_url(settings.require_database_url())
    sent: dict[str, list[str]] = {}
    for number in range(200):
        key = f"k{number % 12}"
        sent.setdefault(key, []).append(await add(redis, key))
    with PgBouncer(servers.database_url, pool_size=2) as pooler:
        url = database.set(port=pooler.port).render_as_string(hide_password=False)
        pooled = Settings.load(database_url=f"{url}?prepared_statement_cache_size=0")
        engine = async_engine(pooled, pool_size=8)
        inbox = AsyncpgInbox(engine)
        consumer = new_consumer(redis, inbox, options={"concurrency": 6})
        async with consuming(consumer):
            await until(lambda: consumer.stats.handled == 200)
        await inbox.aclose()
        await engine.dispose()
    assert await effects_by_key(effects) == sent
