"""A relay or a consumer in a process of its own, which the test kills or which kills itself.

Run as ``service.py relay|consumer``. It loads, says ``loaded``, and waits for one line
of JSON: ``{"point": ..., "passes": ...}`` makes it kill itself when it passes the point
for so manieth time; ``{}`` makes it work until it is killed or told to stop.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.events import Consumer, ConsumerOptions, async_redis
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.relay import Point, Relay, RelayOptions

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.events import Event


class Orders:
    """Where this process shall kill itself."""

    def __init__(self, line: str) -> None:
        """Read the line of JSON."""
        orders = json.loads(line)
        self._point = orders.get("point")
        self._left = orders.get("passes", 1)

    def reach(self, point: str) -> None:
        """Pass a point, unless the orders say to die there."""
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


class KillableInbox(SqlInbox):
    """The inbox, with points around the handler's transaction."""

    def __init__(self, sessions: Any, orders: Orders) -> None:
        """Take the orders."""
        super().__init__(sessions)
        self._orders = orders

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Add points before and after the commit of an effect."""
        self._in_delivery = False
        async with super().transaction() as session:
            yield session
            self._reach("effect written")
        self._reach("effect committed")

    async def first_time(self, session: AsyncSession, consumer: str, event_id: uuid.UUID) -> bool:
        """Say aloud when an event was handled before."""
        self._in_delivery = True
        self._reach("event received")
        first = await super().first_time(session, consumer, event_id)
        if not first:
            print("duplicate", flush=True)  # noqa: T201 - the test reads it
        return first

    def _reach(self, point: str) -> None:
        if self._in_delivery:
            self._orders.reach(point)


class KillableRelay(Relay):
    """A relay that reaches the points of the orders."""

    def __init__(self, settings: Settings, orders: Orders) -> None:
        """Take the orders."""
        super().__init__(settings, options=RelayOptions(batch_size=20))
        self._orders = orders

    async def _reach(self, point: Point) -> None:
        self._orders.reach(point)


async def run_relay(settings: Settings, orders: Orders, stop: asyncio.Event) -> None:
    await KillableRelay(settings, orders).run(stop)


async def run_consumer(settings: Settings, orders: Orders, stop: asyncio.Event) -> None:
    engine = async_engine(settings)
    redis = async_redis(settings)
    options = ConsumerOptions(block=0.2)
    inbox = KillableInbox(async_sessions(engine), orders)
    consumer = Consumer(redis, inbox, group="chaos", options=options)
    consumer.on(PricesUpdated)(write_effect)
    _tell_acknowledgements(redis, orders)
    await consumer.run(stop)
    await redis.aclose()
    await engine.dispose()


async def write_effect(event: Event[PricesUpdated], session: AsyncSession) -> None:
    """One row an event, with the key's next number; no constraint forbids a second one."""
    statement = text(
        "INSERT INTO effects (key, event_id, seq) VALUES (:key, :event_id,"
        " (SELECT count(*) + 1 FROM effects WHERE key = :key))"
    )
    await session.execute(statement, {"key": event.key, "event_id": event.event_id})


def _tell_acknowledgements(redis: Redis, orders: Orders) -> None:
    acknowledge: Any = redis.xack

    async def acknowledge_and_tell(*arguments: Any) -> Any:
        count = await acknowledge(*arguments)
        orders.reach("effect acknowledged")
        return count

    redis.xack = acknowledge_and_tell  # type: ignore[method-assign, assignment]


async def run(role: str, orders: Orders) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    work = run_relay if role == "relay" else run_consumer
    await work(Settings.load(), orders, stop)


def main() -> None:
    print("loaded", flush=True)  # noqa: T201 - the test reads it
    asyncio.run(run(sys.argv[1], Orders(sys.stdin.readline())))


if __name__ == "__main__":
    main()
