"""From the outbox to the stream, and on to the effect, as a service's own processes do it."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any, Final, Literal

import psycopg

from _bench.chain import Chain, run_chain
from _bench.comparison import Figure
from _bench.redis_world import CHANNEL, data, servers
from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.events import async_redis
from cartsnitch_common.events.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from _bench.world import World
    from cartsnitch_common.config import Settings

    type AppendOnly = Literal["always", "everysec", False]
    type Measure = Callable[[World], Awaitable[float]]

_RELAYED: Final = 20_000
_MODES: Final[tuple[AppendOnly, ...]] = (False, "everysec", "always")
_SLOW: Final = (
    "What comes out depends on the disk and on both cores: see the machine's line."
    " PostgreSQL is reached by a Unix socket; by TCP it is an eighth less."
)


async def _database(world: World) -> Settings:
    """Both servers with the schema, without an append-only file."""
    return await world.get("relay servers", _servers(append_only=False))


def _servers(*, append_only: AppendOnly) -> Callable[[World], AsyncIterator[Settings]]:
    async def make(_: World) -> AsyncIterator[Settings]:
        with servers(append_only=append_only) as settings:
            migrate.upgrade(settings)
            yield settings

    return make


def _relay_with(waiting: int) -> Measure:
    async def measure(world: World) -> float:
        """Relay some of what waits."""
        settings = await _database(world)
        count = world.size(_RELAYED)
        _fill(settings, world.size(waiting))
        engine = async_engine(settings, pool_size=2, max_overflow=0, pool_pre_ping=False)
        redis = async_redis(settings)
        await redis.delete(binding_of(PricesUpdated).stream)
        relay = Relay(settings, engine=engine, redis=redis)
        relayed = await relay.run_once()  # fills caches, on both servers
        relayed, start = 0, time.perf_counter()
        while relayed < count and (more := await relay.run_once()):
            relayed += more
        took = time.perf_counter() - start
        await redis.aclose()
        await engine.dispose()
        return relayed / took

    return measure


def _fill(settings: Settings, count: int) -> None:
    """Let so many events wait, of ten thousand keys."""
    url = settings.require_database_url().replace("+asyncpg", "").replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE event_outbox, event_log")
        connection.execute(
            "INSERT INTO event_outbox (event_id, event_type, key, envelope)"
            " SELECT gen_random_uuid(), %s, 'key-' || number %% 10000, %s"
            " FROM generate_series(1, %s) AS number",
            (CHANNEL, data(), count),
        )
        connection.execute("VACUUM ANALYZE event_outbox")


def _chain(append_only: AppendOnly, part: Literal["steady", "flood", "batches"]) -> Any:
    """One run of the whole chain, of which several figures tell."""

    async def make(world: World) -> AsyncIterator[Chain]:
        settings = await world.get(f"chain {append_only}", _servers(append_only=append_only))
        count, per_second, batch = {
            "steady": (1000, 100.0, 1),
            "flood": (20_000, 0.0, 1),
            "batches": (20_000, 0.0, 100),
        }[part]
        yield await run_chain(
            settings, max(world.size(count), 100), per_second=per_second, batch=batch
        )

    return make


def _told(append_only: AppendOnly, part: Any, field: str) -> Measure:
    async def measure(world: World) -> float:
        name = f"chain {append_only} {part} {uuid.uuid4() if part == 'flood' else ''}"
        found: Chain = await world.get(name, _chain(append_only, part))
        return float(getattr(found, field))

    return measure


def _chain_rows(append_only: AppendOnly) -> tuple[Figure, ...]:
    mode = f"append-only file {append_only or 'off'}"
    return (
        Figure(
            name=f"outbox to effect at 100 events/s, the median; {mode}",
            unit="ms",
            goal=10,
            measure=_told(append_only, "steady", "middle"),
        ),
        Figure(
            name=f"outbox to effect at 100 events/s, one of a hundred; {mode}",
            unit="ms",
            goal=40,
            measure=_told(append_only, "steady", "slow"),
        ),
        Figure(
            name=f"outbox to effect, a transaction each; {mode}",
            unit="events/s",
            goal=2500,
            at_least=True,
            measure=_told(append_only, "flood", "rate"),
            rounds=3,
            note=_SLOW,
        ),
        Figure(
            name=f"outbox to effect, a hundred in a transaction; {mode}",
            unit="events/s",
            goal=None,
            measure=_told(append_only, "batches", "rate"),
        ),
    )


ROWS: Final = (
    *(
        Figure(
            name=f"the relay alone, {waiting:,} waiting",
            unit="events/s",
            goal=25_000,
            at_least=True,
            measure=_relay_with(waiting),
            rounds=5 if waiting < 100_000 else 3,  # noqa: PLR2004 - filling takes long
        )
        for waiting in (50_000, 300_000)
    ),
    *(row for mode in _MODES for row in _chain_rows(mode)),
)
