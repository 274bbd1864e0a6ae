"""Events from an outbox to their effects, each part in a process of its own as in production.

``python -m _bench.chain ROLE ...`` plays one part; it is told its servers by the environment.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import text

from _bench.redis_world import SERVICE, payload
from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.events import Consumer, ConsumerOptions, async_redis
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.asyncpg_outbox import enqueue
from cartsnitch_common.events.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cartsnitch_common.events import Event
    from cartsnitch_common.events.asyncpg_inbox import Connection

_KEYS: Final = 200
_TASKS: Final = 8
"""Transactions that write events at once: each waits for the disk, and they wait together.
More of them only write what the consumer has yet to catch up with when they have ended."""
_WARM: Final = 200
"""Events before the first that counts: what runs for days is not judged by its first second."""
_HANDLERS: Final = 10
"""Handlers at once, which wait in the same way."""
_TABLE: Final = "CREATE TABLE IF NOT EXISTS effects (event_id uuid PRIMARY KEY)"
_EFFECT: Final = "INSERT INTO effects SELECT unnest($1::uuid[])"
"""What a handler writes: least, because a service's own work is not the bus's."""


class Chain(NamedTuple):
    """What one run through outbox, relay, stream and inbox took."""

    rate: float
    """Unit: events a second, from the first that was written to the last effect."""
    middle: float
    """The median from the commit of an event to that of its effect. Unit: milliseconds."""
    slow: float
    """The same for the slowest of a hundred. Unit: milliseconds."""


async def run_chain(settings: Settings, count: int, *, per_second: float, batch: int) -> Chain:
    """Let events through, by processes that are ready before the first one.

    Args:
        settings: The servers; the database is at head.
        count: How many events.
        per_second: How many are written a second; 0 for as many as go.
        batch: How many share a transaction, on both ends.
    """
    await _clear(settings)
    consumer = await _play(settings, "consume", count, batch)
    relay = await _play(settings, "relay")
    producer = await _play(settings, "produce", count, batch, per_second)
    processes = (consumer, relay, producer)
    try:
        for process in processes:
            await process.stdout.readline()  # it is ready
        producer.stdin.write(b"\n")
        sent = json.loads(await producer.stdout.readline())
        done = json.loads(await consumer.stdout.readline())
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()
    delays = sorted(1000 * (done[event_id] - at) for event_id, at in sent.items())
    took = max(done[event_id] for event_id in sent) - min(sent.values())
    return Chain(count / took, statistics.median(delays), delays[len(delays) * 99 // 100])


async def _clear(settings: Settings) -> None:
    """Leave nothing of an earlier run, which a new group would begin with."""
    engine, redis = async_engine(settings), async_redis(settings)
    async with engine.begin() as connection:
        await connection.execute(text(_TABLE))
        tables = "event_outbox, event_log, event_inbox, effects"
        await connection.execute(text(f"TRUNCATE {tables}"))
    await redis.delete(binding_of(PricesUpdated).stream)
    await engine.dispose()
    await redis.aclose()


async def _play(settings: Settings, role: str, *arguments: float) -> Any:
    environment = os.environ | {
        "CARTSNITCH_DATABASE_URL": settings.require_database_url(),
        "CARTSNITCH_REDIS_URL": settings.require_redis_url(),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "_bench.chain", role, *map(str, arguments)),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=64 * 1024 * 1024,
    )


async def _produce(settings: Settings, count: int, batch: int, per_second: float) -> None:
    engine = async_engine(settings, pool_size=_TASKS, max_overflow=0, pool_pre_ping=False)
    event, sent = payload(), dict[str, float]()
    held = [await engine.raw_connection() for _ in range(_TASKS)]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def task(connection: Any, numbers: Iterator[int], start: float) -> None:
        for number in numbers:
            if start:
                await asyncio.sleep(start + number / per_second - time.time())
            # In a fixed order, so that two transactions do not wait for each other's keys.
            keys = sorted(f"key-{at % _KEYS:03}" for at in range(number, number + batch))
            # An event alone is a transaction of its own.
            async with connection.transaction() if batch > 1 else nullcontext():
                made = [await enqueue(connection, event, service=SERVICE, key=key) for key in keys]
            sent.update(dict.fromkeys(map(str, made), time.time()))

    async def write(events: int, start: float) -> None:
        numbers = iter(range(0, events, batch))
        await asyncio.gather(*(task(one.driver_connection, numbers, start) for one in held))

    await write(_WARM, 0)
    await asyncio.sleep(1)
    sent.clear()
    await write(count, time.time() if per_second else 0)
    print(json.dumps(sent), flush=True)
    await asyncio.sleep(60)


async def _consume(settings: Settings, count: int, batch: int) -> None:
    concurrency = 1 if batch > 1 else _HANDLERS
    engine = async_engine(settings, pool_size=concurrency + 2, max_overflow=0, pool_pre_ping=False)
    stop, redis = asyncio.Event(), async_redis(settings)
    options = ConsumerOptions(concurrency=concurrency, batch_size=max(64, batch))
    handled: dict[asyncio.Task[Any] | None, Sequence[Event[Any]]] = {}
    done: dict[str, float] = {}

    async def note(point: str) -> None:
        if point == "effect committed":
            now = time.time()
            done.update((str(one.event_id), now) for one in handled.pop(asyncio.current_task(), ()))

    consumer: Consumer[Connection] = Consumer(
        redis,
        AsyncpgInbox(engine),
        group=f"bench-{time.time_ns()}",
        options=options,
        fault_point=note,
    )

    async def effect(events: Sequence[Event[PricesUpdated]], connection: Connection) -> None:
        ids = [event.event_id for event in events]
        await connection.execute(_EFFECT, ids)
        handled[asyncio.current_task()] = events

    if batch > 1:
        consumer.on_batch(PricesUpdated)(effect)
    else:

        @consumer.on(PricesUpdated)
        async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
            await effect([event], connection)

    running = asyncio.create_task(consumer.run(stop))
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    while len(done) < _WARM + count and not running.done():  # noqa: ASYNC110 - looks, and does not disturb
        await asyncio.sleep(0.05)
    print(json.dumps(done), flush=True)
    await asyncio.sleep(60)


async def _relay(settings: Settings) -> None:
    print("ready", flush=True)
    await Relay(settings).run(asyncio.Event())


def _main(role: str, *arguments: str) -> None:
    settings = Settings.load(service="bench")
    match role:
        case "produce":
            count, batch, per_second = arguments
            asyncio.run(_produce(settings, int(count), int(batch), float(per_second)))
        case "consume":
            count, batch = arguments
            asyncio.run(_consume(settings, int(count), int(batch)))
        case _:
            asyncio.run(_relay(settings))


if __name__ == "__main__":
    _main(*sys.argv[1:])
