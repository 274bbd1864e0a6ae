from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import sys
from asyncio.subprocess import PIPE, Process
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select, text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.models import DeadLetter, OutboxEvent
from cartsnitch_common.events import async_redis, decode
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Point
from tests.event_payloads import prices

_LOG = logging.getLogger(__name__)

pytestmark = [pytest.mark.kill]

SERVICE = Path(__file__).with_name("service.py")
STREAM = binding_of(PricesUpdated).stream
GROUP = "chaos"
KEYS = [f"store-{number}" for number in range(5)]
KILLS = {
    "relay": [*Point, "any"],
    "consumer": ["event received", "effect written", "effect committed", "effect acknowledged"],
}
"""Where a process kills itself; at "any" the test kills it at any moment."""

TABLES = """
CREATE TABLE ledger (n bigserial, key text, event_id uuid);
CREATE TABLE effects (n bigserial, key text, event_id uuid, seq int)
"""


class Child:
    """One process of ``service.py``."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.said: list[str] = []
        self._reading = asyncio.create_task(self._read())
        self.loaded = asyncio.Event()

    @classmethod
    async def spawn(cls, role: str, settings: Settings) -> Self:
        """Start it; it loads and waits for its orders."""
        environment = {
            **os.environ,
            "CARTSNITCH_DATABASE_URL": settings.require_database_url(),
            "CARTSNITCH_REDIS_URL": settings.require_redis_url(),
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SERVICE), role, stdin=PIPE, stdout=PIPE, env=environment
        )
        return cls(process)

    async def begin(self, **orders: Any) -> None:
        """Let it work."""
        await self.loaded.wait()
        assert "loaded" in self.said, "it did not start; its own words are above"
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(orders).encode() + b"\n")
        await self.process.stdin.drain()

    async def end(self) -> int:
        """Let it stop as a service is stopped; its exit code."""
        self.process.terminate()
        return await self.wait()

    async def wait(self) -> int:
        """Wait for its end, however it comes."""
        await asyncio.wait_for(self._reading, 20)
        return await self.process.wait()

    async def close(self) -> None:
        """Leave nothing behind."""
        if self.process.returncode is None:
            self.process.kill()
        await self.wait()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(line.decode().strip())
            self.loaded.set()
        self.loaded.set()  # or it has ended without a word


@dataclass
class Stage:
    """The servers, and what runs on them."""

    settings: Settings
    sessions: Any
    redis: Redis
    children: list[Child] = field(default_factory=list)

    async def spawn(self, role: str) -> Child:
        """Start a process that this stage ends."""
        child = await Child.spawn(role, self.settings)
        self.children.append(child)
        return child

    async def scalar(self, statement: Any) -> Any:
        """One value from the database."""
        async with self.sessions() as session:
            return await session.scalar(statement)

    async def by_key(self, table: str) -> dict[str, list[str]]:
        """The event ids of each key in the order in which they were written."""
        found: dict[str, list[str]] = defaultdict(list)
        async with self.sessions() as session:
            rows = await session.execute(text(f"SELECT key, event_id FROM {table} ORDER BY n"))
            for key, event_id in rows:
                found[key].append(str(event_id))
        return found


@pytest.fixture
async def stage(settings: Settings) -> AsyncIterator[Stage]:
    engine = async_engine(settings, pool_size=10)
    redis = async_redis(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(engine.dispose)
        stack.push_async_callback(redis.aclose)
        stage = Stage(settings, async_sessions(engine), redis)
        async with stage.sessions.begin() as session:
            for statement in TABLES.split(";"):
                await session.execute(text(statement))
        try:
            yield stage
        finally:
            for child in stage.children:
                await child.close()


@asynccontextmanager
async def producing(stage: Stage) -> AsyncIterator[list[str]]:
    """Transactions over some keys all the while, some rolled back; yields the undone ids."""
    stop = asyncio.Event()
    undone: list[str] = []

    async def produce(seed: int) -> None:
        dice = random.Random(seed)  # noqa: S311
        while not stop.is_set():
            await write(dice)
            await asyncio.sleep(dice.choice([0, 0.02, 0.05]))

    async def write(dice: random.Random) -> None:
        async with stage.sessions() as session:
            key = dice.choice(KEYS)
            envelope = await enqueue(session, prices(), service="receiptwitness", key=key)
            # The key's lock is held: this is the order in which the key's events commit.
            row = {"key": key, "event_id": envelope.event_id}
            statement = text("INSERT INTO ledger (key, event_id) VALUES (:key, :event_id)")
            await session.execute(statement, row)
            if dice.random() < 0.15:
                undone.append(envelope.event_id)
                await session.rollback()
            else:
                await session.commit()

    async with asyncio.TaskGroup() as tasks:
        for seed in range(3):
            tasks.create_task(produce(seed))
        try:
            yield undone
        finally:
            stop.set()


async def kill_again_and_again(stage: Stage, role: str, *, kills: int) -> Child:
    """Kill a process of the role and replace it, so many times; the last one is left."""
    dice = random.Random(11)  # noqa: S311
    spare = await stage.spawn(role)
    for number in range(kills):
        child, spare = spare, await stage.spawn(role)
        point = KILLS[role][number % len(KILLS[role])]
        await child.begin(point=point, passes=dice.randrange(2, 12))
        if point == "any":
            await asyncio.sleep(dice.uniform(0.1, 0.5))
            child.process.kill()
        assert await child.wait() == -9
    await spare.begin()
    return spare


async def until_quiet(stage: Stage) -> None:
    """Wait until everything that was committed has an effect, and nothing is under way."""
    async with asyncio.timeout(30):
        while True:
            missing = text("SELECT (SELECT count(*) FROM ledger) - (SELECT count(*) FROM effects)")
            waiting = await stage.scalar(select(func.count()).select_from(OutboxEvent))
            groups = await stage.redis.xinfo_groups(STREAM) if waiting == 0 else []
            idle = bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] == 0
            if idle and await stage.scalar(missing) <= 0:
                return
            await asyncio.sleep(0.05)


async def check(stage: Stage, undone: list[str]) -> int:
    """The invariants that hold whatever was killed; returns the duplicates on the wire."""
    ledger, effects = await stage.by_key("ledger"), await stage.by_key("effects")
    committed = {event_id for ids in ledger.values() for event_id in ids}
    handled = [event_id for ids in effects.values() for event_id in ids]
    wire = [decode(fields[b"e"]).event_id for _, fields in await stage.redis.xrange(STREAM)]
    assert len(committed) > 300, "too little load to prove anything"
    assert len(undone) > 30
    assert not committed - set(handled), "I1: events were lost"
    assert not set(undone) & (set(handled) | set(wire)), "I2: a rolled back event was published"
    assert len(handled) == len(set(handled)), "I3: an effect happened twice"
    assert effects == ledger, "I4: the events of a key are out of order"
    assert await stage.scalar(select(func.count()).select_from(OutboxEvent)) == 0, "I5"
    assert (await stage.redis.xpending(STREAM, GROUP))["pending"] == 0, "I5"
    assert await stage.scalar(select(func.count()).select_from(DeadLetter)) == 0, "I5"
    return len(wire) - len(set(wire))


@pytest.mark.parametrize("role", ["relay", "consumer"])
async def test_ten_kills_lose_repeat_and_reorder_nothing(stage: Stage, role: str) -> None:
    """Killed ten times under load, the relay or the consumer is as if it never had been.

    Nothing is lost, nothing of a rolled back transaction is heard of, no effect
    happens twice or out of its key's order, and nothing is left behind. What the
    kills cost is duplicates on the way, and there must be some, or none of them bit.
    """
    other = await stage.spawn("consumer" if role == "relay" else "relay")
    await other.begin()
    async with producing(stage) as undone:
        last = await kill_again_and_again(stage, role, kills=10)
        await asyncio.sleep(0.5)
    await until_quiet(stage)
    on_the_wire = await check(stage, undone)
    assert await last.end() == 0
    assert await other.end() == 0
    dropped = sum(child.said.count("duplicate") for child in stage.children)
    events = sum(map(len, (await stage.by_key("ledger")).values()))
    _LOG.info("%d events, %d twice on the wire, %d dropped", events, on_the_wire, dropped)
    if role == "relay":
        assert on_the_wire > 0, "I7: no kill of the relay bit"
        assert dropped >= on_the_wire
    else:
        assert on_the_wire == 0
        assert dropped > 0, "I7: no kill of the consumer bit"
