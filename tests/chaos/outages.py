"""Servers that die, lose what they had, or end their connections."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg

from cartsnitch_common.embedded.server import EmbeddedServer
from tests.chaos.children import Child
from tests.chaos.play import Fault, Play
from tests.chaos.stage import STREAM

CONNECTIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


async def cast(play: Play) -> list[Child]:
    """One of each, warm and watched."""
    producer = await play.producer()
    others = [await play.stage.spawn("relay"), await play.stage.spawn("consumer")]
    await play.warm_up()
    await play.watch(producer, *others)
    return [producer, *others]


async def kill_server(play: Play, server: EmbeddedServer, name: str, count: int) -> None:
    """A server dies in the midst of the work and is started again at once."""
    stage, score = play.stage, play.score
    _, *users = await cast(play)

    def noticed() -> int:
        return sum(child.reports[f"outage {name}"] for child in users)

    async def bites() -> bool:
        # One that is idle just then connects again when it has work, and notices nothing.
        return noticed() > before

    for _ in play.times(count):
        before = noticed()
        play.load(150)
        await asyncio.sleep(play.dice.uniform(0.05, 0.25))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        start = time.monotonic()
        await stage.relayed()
        await stage.caught_up()
        score.recoveries.append(time.monotonic() - start)
        score.injected += 1
        with suppress(TimeoutError):
            await stage.until(bites, within=5)
            score.bitten += 1


async def kill_redis(play: Play, count: int) -> None:
    """Its append-only file has what it acknowledged; nothing is replayed."""
    await kill_server(play, play.stage.world.servers.valkey, "redis", count)


async def wipe_redis(play: Play, count: int) -> None:
    """All that is on Redis and not handled is gone; the log has it."""
    stage, score = play.stage, play.score
    *_, consumer = await cast(play)
    for number in play.times(count):
        # By turns it is suspended in the wipe, and notices, or is not there, and is told nothing.
        if number % 2:
            await consumer.close()
        else:
            consumer.send(signal.SIGSTOP)
        play.load(200)
        await stage.until(partial(stage.has_rows, "ledger", 300 * number + 260))
        await stage.relayed()
        lost = await stage.redis.xlen(STREAM) if await stage.redis.exists(STREAM) else 0
        await stage.redis.flushall()
        start = time.monotonic()
        if number % 2:
            consumer = await stage.spawn("consumer")
        else:
            consumer.send(signal.SIGCONT)
        play.load(100)  # what comes after the wipe has to wait for what was before it
        await stage.relayed()
        await stage.caught_up()
        score.recoveries.append(time.monotonic() - start)
        score.injected += 1
        score.bitten += lost >= 200


async def kill_postgres(play: Play, count: int) -> None:
    """Whoever was in the midst of a transaction does it again."""
    await kill_server(play, play.stage.world.servers.postgres, "database", count)


async def terminate_backends(play: Play, count: int) -> None:
    """Five times a second PostgreSQL ends a connection, whosever it is."""
    stage, score = play.stage, play.score
    await cast(play)
    with psycopg.connect(stage.database_url, autocommit=True) as connection:
        for _ in play.times(count):
            play.load(20)
            score.injected += 1
            pause = asyncio.create_task(asyncio.sleep(0.2))
            await stage.until(lambda: asyncio.to_thread(_terminate_one, play, connection))
            score.bitten += 1
            await pause
    score.recoveries.append(await stage.caught_up())


def _terminate_one(play: Play, connection: psycopg.Connection[Any]) -> bool:
    found = [row[0] for row in connection.execute(CONNECTIONS)]
    if not found:
        return False
    ended = "SELECT pg_terminate_backend(%s, 2000)"
    row = connection.execute(ended, [play.dice.choice(found)]).fetchone()
    return bool(row and row[0])


FAULTS = [
    Fault(name="kill Redis", run=kill_redis, short=5, long=30, least=3_500, limit=5, minutes=1.2),
    Fault(name="wipe Redis", run=wipe_redis, short=2, long=10, least=2_500, limit=10, minutes=1.3),
    Fault(
        name="kill PostgreSQL",
        run=kill_postgres,
        short=5,
        long=20,
        least=3_500,
        limit=5,
        minutes=0.8,
    ),
    Fault(
        name="terminate backends, 5 a second",
        run=terminate_backends,
        short=100,
        long=900,
        least=3_000,
        limit=5,
        minutes=4,
    ),
]
