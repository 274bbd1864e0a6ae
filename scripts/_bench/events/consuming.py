"""Consuming: decoded, checked and typed, against redis-py that hands out the bytes."""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from _bench.comparison import Comparison, Direction, Sides
from _bench.redis_world import CHANNEL, Clients, clients, data, seed_event, seed_text
from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.contract import binding_of
from cartsnitch_common.events import Consumer, ConsumerOptions, subscribe
from cartsnitch_common.events.names import ENTRY_FIELD

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from _bench.comparison import Work
    from _bench.world import World
    from cartsnitch_common.events import DeadLetter, Event

_EVENTS: Final = 10_000
BATCH: Final = 200
STREAM: Final = binding_of(PricesUpdated).stream


class _NoDatabase:
    """An inbox that remembers nothing: what is measured is the way from Redis to the handler."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        yield

    async def first_time(self, session: None, consumer: str, event_id: uuid.UUID) -> bool:
        del session, consumer, event_id
        return True

    async def first_times(
        self, session: None, consumer: str, event_ids: Sequence[uuid.UUID]
    ) -> set[uuid.UUID]:
        del session, consumer
        return set(event_ids)

    async def marked(self, consumer: str, event_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        del consumer, event_ids
        return set()

    async def bury(self, letter: DeadLetter) -> bool:
        raise AssertionError(letter.reason)


async def _streams(world: World) -> AsyncIterator[Sides]:
    found, count = await clients(world), world.size(_EVENTS)
    async with filled(found, count):
        ours = Consuming(found, count)
        yield Sides(ours=ours.run, rival=_read_group(found, count), units=count, after=ours.end)


@asynccontextmanager
async def filled(found: Clients, count: int) -> AsyncIterator[None]:
    """The stream holds so many events."""
    await found.bare.delete(STREAM)
    pipe = found.bare.pipeline(transaction=False)
    for _ in range(count):
        pipe.xadd(STREAM, {ENTRY_FIELD: data()})
    await pipe.execute()
    yield
    await found.bare.delete(STREAM)


class Consuming:
    """A typed consumer in a group of its own that handles so many events in batches."""

    def __init__(self, found: Clients, count: int) -> None:
        self._found = found
        self._count = count
        self._ends: list[Callable[[], Awaitable[None]]] = []

    async def run(self) -> None:
        """Start it; handle all, and have all acknowledged."""
        stop, acknowledged, seen = asyncio.Event(), asyncio.Event(), 0
        bare, group = self._found.bare, f"ours-{uuid.uuid4().hex}"

        async def reached(point: str) -> None:
            if point == "after ack" and seen >= self._count:
                acknowledged.set()

        consumer: Consumer[None] = Consumer(
            self._found.ours,
            _NoDatabase(),
            group=group,
            options=ConsumerOptions(batch_size=BATCH, block=0.1),
            fault_point=reached,
        )

        @consumer.on_batch(PricesUpdated)
        async def handle(events: Sequence[Event[PricesUpdated]], _session: None) -> None:
            nonlocal seen
            seen += len(events)

        running = asyncio.create_task(consumer.run(stop))
        running.add_done_callback(lambda _: acknowledged.set())

        async def end() -> None:
            stop.set()
            await running
            await bare.xgroup_destroy(STREAM, group)

        self._ends.append(end)
        await acknowledged.wait()
        while not running.done() and (await bare.xpending(STREAM, group))["pending"]:
            pass

    async def end(self) -> None:
        """Stop it, which waits for events that do not come."""
        while self._ends:
            await self._ends.pop()()


def _read_group(found: Clients, count: int) -> Work:
    async def run() -> None:
        seen = 0
        group = f"bare-{uuid.uuid4().hex}"
        await found.bare.xgroup_create(STREAM, group, id=0)
        while seen < count:
            reply: Any = await found.bare.xreadgroup(group, "1", {STREAM: ">"}, count=BATCH)
            entries = [
                entry
                for entries in (reply.values() if isinstance(reply, dict) else (reply[0][1],))
                for entry in entries
            ]
            bodies = [fields[ENTRY_FIELD] for _, fields in entries]
            await found.bare.xack(STREAM, group, *(entry_id for entry_id, _ in entries))
            seen += len(bodies)
        await found.bare.xgroup_destroy(STREAM, group)

    return run


def _channels(
    rival: Callable[[Clients, int], Work],
) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        found, count = await clients(world), world.size(_EVENTS)
        yield Sides(ours=_subscribe(found, count), rival=rival(found, count), units=count)

    return prepare


async def _publish_raw(found: Clients, count: int, message: bytes | str) -> None:
    """The same cheap pipeline on both sides; its time is in both."""
    pipe = found.bare.pipeline(transaction=False)
    for _ in range(count):
        pipe.publish(CHANNEL, message)
    await pipe.execute()


def _subscribe(found: Clients, count: int) -> Work:
    event = data()

    async def run() -> None:
        seen = 0
        async with subscribe(found.ours, PricesUpdated) as events:
            await _publish_raw(found, count, event)
            async for _event in events:
                seen += 1
                if seen == count:
                    break

    return run


def _listen(message: Callable[[], bytes | str], read: Callable[[Any], object]) -> Any:
    def make(found: Clients, count: int) -> Work:
        sent = message()

        async def run() -> None:
            seen = 0
            async with found.bare.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(CHANNEL)
                await _publish_raw(found, count, sent)
                async for heard in pubsub.listen():
                    read(heard["data"])
                    seen += 1
                    if seen == count:
                        break

        return run

    return make


ROWS: Final = (
    Comparison(
        name="consume a stream in batches of 200",
        rival="redis-py's XREADGROUP and XACK, nothing decoded",
        goal=0.8,
        direction=Direction.TIMES_AS_FAST,
        prepare=_streams,
        rounds=5,
        note="No database on either side: it is the way from Redis to the handler, and the"
        " acknowledgement of all.",
    ),
    Comparison(
        name="hear a channel",
        rival="redis-py's listen, nothing decoded",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_channels(_listen(data, len)),
        rounds=5,
        note="Both times hold the same publishing by redis-py's pipeline.",
    ),
    Comparison(
        name="hear a channel",
        rival="redis-py's listen and the seed's JSON envelope",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_channels(_listen(lambda: seed_text(seed_event()), json.loads)),
        rounds=5,
        note="Both times hold the same publishing by redis-py's pipeline.",
    ),
)
