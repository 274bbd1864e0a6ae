"""The code under test as the processes run it: a producer, a relay, a consumer."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.db.engine import async_sessions
from cartsnitch_common.errors import DatabaseError
from cartsnitch_common.events import Consumer, ConsumerOptions, decode, encode, wrap
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.event import event_from
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.outbox import enqueue_all
from cartsnitch_common.events.relay import Relay, RelayOptions
from cartsnitch_common.events.replay_log import SqlEventLog
from tests.event_payloads import prices

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cartsnitch_common.events import Event
    from cartsnitch_common.events.delivery import Inbox
    from tests.chaos.actor import Actor

GROUP = "chaos"
KEYS = [f"store-{number}" for number in range(24)]
PRODUCER_POINTS = ("events enqueued", "before commit", "after commit")
"""The steps of a transaction between which a producer may die."""

RAISES, KILLS = 13, 666
"""The dollars of a price that makes the handler raise, or end its process."""

_LEDGER = text(
    "INSERT INTO ledger (key, event_id, dead)"
    " SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:ids AS uuid[]), CAST(:dead AS boolean[]))"
)
_EFFECT = text("INSERT INTO effects (key, event_id, by) VALUES (:key, :event_id, :by)")
_EFFECT_BY_ASYNCPG = "INSERT INTO effects (key, event_id, by) VALUES ($1, $2, $3)"


def rehearse() -> None:
    """Make what is made on first use, so that no process that is forked later has to."""
    envelope = wrap(prices(), service="receiptwitness", key=KEYS[0])
    event_from(decode(encode(envelope)), PricesUpdated)


class PoisonError(Exception):
    """what the handler raises for a poisonous event."""


class Producer:
    """Transactions over some keys, each with a row in the ledger for each event.

    The ledger's rows are numbered while the keys' locks are held: that is the order in
    which the events of a key commit. Some transactions are rolled back.
    """

    def __init__(self, actor: Actor) -> None:
        """Take the orders: ``pause`` in seconds between transactions, ``most`` events in one.

        It produces as many events as it was told to, and waits for more.
        """
        self._actor = actor
        self._sessions = async_sessions(actor.engine)
        self._pause: float = actor.orders["pause"]
        self._most: int = actor.orders["most"]
        self._limit = 0
        self._is_last = False
        self._told = asyncio.Event()
        self._poison: list[int] = []
        self._counts: Counter[str] = Counter()
        self._failed: dict[str, int] = {}
        actor.heard["produce"] = self._produce
        actor.heard["poison"] = lambda order: self._poison.append(order["units"])

    async def run(self) -> None:
        """Produce what the test orders, until it says that this is all; then wait for the end."""
        seed = self._actor.orders["seed"]
        async with asyncio.TaskGroup() as tasks:
            for number in range(self._actor.orders["tasks"]):
                tasks.create_task(self._work(random.Random(f"{seed} {number}")))  # noqa: S311
        self._actor.tell(produced=True, **self._counts)
        await self._actor.stop.wait()

    def _produce(self, order: dict[str, Any]) -> None:
        self._limit += order["events"]
        self._is_last = order["last"]
        self._told.set()

    async def _work(self, dice: random.Random) -> None:
        while True:
            if self._counts["committed"] >= self._limit:
                if self._is_last:
                    return
                self._told.clear()
                await self._told.wait()
                continue
            try:
                await self.transact(dice)
            except (DatabaseError, OSError) as error:  # committed or not, the ledger knows
                self._counts[type(error).__name__] += 1
                await asyncio.sleep(0.05)
            await asyncio.sleep(self._pause * dice.random() * 2)

    async def transact(self, dice: random.Random) -> None:
        """One transaction."""
        keys = dice.sample(KEYS, dice.randint(1, self._most))
        poison = [self._poison.pop()] if self._poison else []
        events = [(prices(), key) for key in keys]
        events += [(prices(units=units), dice.choice(KEYS)) for units in poison]
        undo = not poison and dice.random() < 0.1
        async with self._sessions() as session:
            envelopes = await enqueue_all(session, events, service="receiptwitness")
            rows = {
                "keys": [key for _, key in events],
                "ids": [envelope.event_id for envelope in envelopes],
                "dead": [number >= len(keys) for number in range(len(events))],
            }
            await self._actor.point(PRODUCER_POINTS[0])
            await session.execute(_LEDGER, rows)
            await self._actor.point(PRODUCER_POINTS[1])
            if undo:
                await session.rollback()
            else:
                await session.commit()
        await self._actor.point(PRODUCER_POINTS[2])
        self._counts["undone" if undo else "committed"] += len(events)


class ChaosRelay(Relay):
    """A relay that may die or stop at its points."""

    actor: Actor

    async def _reach(self, point: Any) -> None:
        await self.actor.point(str(point))


def relay_of(actor: Actor) -> Relay:
    """The relay of a process."""
    options = RelayOptions(**actor.orders.get("relay", {}))
    relay = ChaosRelay(
        actor.settings, engine=actor.engine, redis=actor.redis, options=options, observer=actor
    )
    relay.actor = actor
    return relay


def inbox_of(actor: Actor) -> Inbox[Any]:
    """Every second process works with asyncpg itself; a group may have both."""
    number = int(actor.orders["name"].rpartition("-")[2])
    return AsyncpgInbox(actor.engine) if number % 2 else SqlInbox(async_sessions(actor.engine))


def consumer_of(actor: Actor, inbox: Inbox[Any]) -> Consumer[Any]:
    """The consumer of a process."""
    options = {"block": 0.2, "first_wait": 0.02, "longest_wait": 0.2}
    consumer = Consumer(
        actor.redis,
        inbox,
        group=GROUP,
        options=ConsumerOptions(**options | actor.orders.get("consumer", {})),
        log=SqlEventLog(async_sessions(actor.engine)),
        observer=actor,
        fault_point=actor.point,
    )
    consumer.on(PricesUpdated)(_handler(actor))
    return consumer


def _handler(actor: Actor) -> Callable[[Event[PricesUpdated], Any], Awaitable[None]]:
    """Write an effect a delivery: a row, which no constraint keeps from being there twice."""
    rest: float = actor.orders.get("rest", 0)

    async def handle(event: Event[PricesUpdated], session: Any) -> None:
        units = event.payload.observations[0].regular_price.units
        effect = {"key": event.key, "event_id": event.event_id, "by": actor.orders["name"]}
        if isinstance(session, AsyncSession):
            await session.execute(_EFFECT, effect)
        else:
            await session.execute(_EFFECT_BY_ASYNCPG, *effect.values())
        if rest:
            await asyncio.sleep(rest)
        if units == RAISES:
            actor.tell(reached="poison raises")
            raise PoisonError
        if units == KILLS:
            actor.tell(reached="poison kills")
            os.kill(os.getpid(), signal.SIGKILL)

    return handle
