"""What the published fake does on request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.events import ConsumerOptions, Event
from cartsnitch_common.testing import bus as bus_module
from cartsnitch_common.testing.bus import MemoryBus
from cartsnitch_common.testing.memory_inbox import MemoryInbox, MemorySession
from tests.behaviour.adapters import OPTIONS
from tests.event_payloads import prices


async def publish(bus: MemoryBus, *keys: str) -> None:
    for key in keys:
        await bus.publish(prices(), service="stickershock", key=key)


async def note(event: Event[PricesUpdated], session: MemorySession) -> None:
    session.add(event.key)


@asynccontextmanager
async def running(
    bus: MemoryBus, inbox: MemoryInbox, handler: Any = note, options: ConsumerOptions = OPTIONS
) -> AsyncIterator[Any]:
    consumer = bus.consumer(inbox, group="stickershock", options=options)
    consumer.on(PricesUpdated)(handler)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run(stop))
        try:
            yield consumer
        finally:
            stop.set()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a counter tells
            await asyncio.sleep(0.005)


async def test_duplicates_are_made_on_request() -> None:
    """An event may be put on the wire several times, for handlers that must not care."""
    bus, inbox = MemoryBus(), MemoryInbox()
    bus.duplicates = 2
    async with running(bus, inbox) as consumer:
        await publish(bus, "a", "b")
        await until(lambda: consumer.stats.duplicates == 4)
    assert inbox.effects == ["a", "b"]


async def test_effects_of_a_failed_handler_are_not_kept() -> None:
    """What a handler has added before it raised is rolled back; the letter says why."""
    bus, inbox = MemoryBus(), MemoryInbox()

    async def handler(_event: Event[PricesUpdated], session: MemorySession) -> None:
        session.add("half")
        raise KeyError

    async with running(bus, inbox, handler) as consumer:
        await publish(bus, "a")
        await until(lambda: consumer.stats.dead == 1)
    assert inbox.effects == []
    assert [(letter.reason, letter.deliveries) for letter in inbox.letters] == [("KeyError", 5)]


async def test_an_inbox_that_is_away_is_waited_for() -> None:
    """An outage of the database costs no delivery."""
    bus, inbox = MemoryBus(), MemoryInbox()
    inbox.away = True
    async with running(bus, inbox) as consumer:
        await publish(bus, "a")
        await asyncio.sleep(0.1)
        assert (inbox.effects, consumer.stats.retries) == ([], 0)
        inbox.away = False
        await until(lambda: inbox.effects == ["a"])


async def test_a_wiped_bus_goes_on() -> None:
    """Streams and groups that are gone are made anew, and what comes then is handled."""
    bus, inbox = MemoryBus(), MemoryInbox()
    async with running(bus, inbox):
        await publish(bus, "a")
        await until(lambda: inbox.effects == ["a"])
        bus.wipe()
        await publish(bus, "b")
        await until(lambda: inbox.effects == ["a", "b"])


async def test_answers_that_are_cut_off_are_found_again() -> None:
    """Entries of an answer that got lost are pending, and handled once and in order."""
    bus, inbox = MemoryBus(), MemoryInbox()
    async with running(bus, inbox):
        for number in range(50):
            await publish(bus, str(number))
            if number % 10 == 5:
                await bus.cut()
            await asyncio.sleep(0)
        await until(lambda: len(inbox.effects) == 50)
    assert inbox.effects == [str(number) for number in range(50)]


async def test_two_names_of_a_group_share_it() -> None:
    """Two consumers of a group have each effect once, and in order."""
    bus, inbox = MemoryBus(), MemoryInbox()
    first = ConsumerOptions(name="a", block=0.02, batch_size=3)
    second = ConsumerOptions(name="b", block=0.02, batch_size=3)
    async with running(bus, inbox, options=first), running(bus, inbox, options=second):
        await publish(bus, *map(str, range(60)))
        await until(lambda: len(inbox.effects) == 60)
    assert inbox.effects == [str(number) for number in range(60)]


async def test_a_slow_subscriber_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read what others publish is disconnected, as Redis does it."""
    monkeypatch.setattr(bus_module, "MOST_UNREAD", 5)
    bus = MemoryBus()
    async with bus.subscribe(PricesUpdated) as events:
        await publish(bus, *"abcdefgh")
        waiting = asyncio.create_task(anext(aiter(events)))
        await until(lambda: events.stats.cuts == 1)
        while not waiting.done():
            await publish(bus, "later")
            await asyncio.sleep(0.02)
        assert waiting.result().key == "later"
