from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch.event.v1 import CouponsUpdated, PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import EventType
from cartsnitch_common.contract import binding_of
from cartsnitch_common.db.models import InboxEvent
from cartsnitch_common.errors import SetupError
from cartsnitch_common.events import Consumer, ConsumerOptions, Event, encode, to_json, wrap
from cartsnitch_common.events.inbox import SqlInbox, handle_once
from cartsnitch_common.events.streams import GroupReader
from cartsnitch_common.values.ids import new_uuid
from tests.event_payloads import coupons, prices
from tests.integration.events.consuming import (
    FAST,
    GROUP,
    STREAM,
    Killed,
    add,
    cut_connections,
    effects_of,
    new_consumer,
    pending,
    running,
    until,
    write_effect,
)


async def test_a_handler_gets_typed_events_and_a_session(redis: Redis, effects: Any) -> None:
    """Each event reaches its handler once, with its payload, and its effect is committed."""
    seen: list[Event[PricesUpdated]] = []

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        seen.append(event)
        await write_effect(event, session)

    before = await add(redis)  # while there is no group yet
    consumer = new_consumer(redis, effects, handler)
    async with running(consumer):
        after = await add(redis)
        await until(lambda: consumer.stats.handled == 2)
    assert await effects_of(effects) == [before, after]
    assert seen[0].payload == prices()
    assert seen[0].type is EventType.PRICES_UPDATED
    assert await pending(redis) == 0


async def test_several_payloads_have_their_own_handlers(redis: Redis, effects: Any) -> None:
    """A consumer may handle several events; each handler gets its own."""
    seen: list[type] = []
    consumer = new_consumer(redis, effects, lambda event, _session: note(event))

    async def note(event: Event[Any]) -> None:
        seen.append(type(event.payload))

    @consumer.on(CouponsUpdated)
    async def on_coupons(event: Event[CouponsUpdated], _session: AsyncSession) -> None:
        await note(event)

    async with running(consumer):
        await add(redis)
        envelope = wrap(coupons(), service="clipartist", key="k")
        await redis.xadd(binding_of(CouponsUpdated).stream, {"e": encode(envelope)})
        await until(lambda: consumer.stats.handled == 2)
    assert set(seen) == {PricesUpdated, CouponsUpdated}


async def test_an_event_that_comes_twice_has_one_effect(redis: Redis, effects: Any) -> None:
    """However often an event is on the stream, its effect happens once per group."""
    event_id = str(new_uuid())
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        for _ in range(3):
            await add(redis, event_id=event_id)
        await until(lambda: consumer.stats.duplicates == 2)
    assert await effects_of(effects) == [event_id]
    assert consumer.stats.handled == 1
    other = Consumer(redis, SqlInbox(effects), group="shrinkray", options=ConsumerOptions(**FAST))
    other.on(PricesUpdated)(write_effect)
    async with running(other):
        await until(lambda: other.stats.handled == 1)
    assert await effects_of(effects) == [event_id, event_id]


async def test_an_effect_that_was_not_acknowledged_is_not_repeated(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that dies between commit and acknowledgement leaves no second effect."""
    event_id = await add(redis)

    async def die(*_args: Any) -> None:
        raise Killed

    monkeypatch.setattr(GroupReader, "acknowledge", die)
    with pytest.raises(Killed):
        await new_consumer(redis, effects).run(asyncio.Event())
    monkeypatch.undo()
    assert await pending(redis) == 1
    successor = new_consumer(redis, effects)
    async with running(successor):
        await until(lambda: successor.stats.duplicates == 1)
    assert await effects_of(effects) == [event_id]
    assert await pending(redis) == 0


async def test_what_was_in_hand_comes_before_what_is_new(redis: Redis, effects: Any) -> None:
    """After a restart under the same name the events of before come first, in their order."""
    sent = [await add(redis) for _ in range(5)]
    await redis.xgroup_create(STREAM, GROUP, id=0)
    await redis.xreadgroup(GROUP, "1", {STREAM: ">"}, count=3)
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 5)
    assert await effects_of(effects) == sent


async def test_the_events_of_a_dead_consumer_are_taken_over(redis: Redis, effects: Any) -> None:
    """Entries that another name of the group left idle are claimed, before what is behind them."""
    sent = [await add(redis) for _ in range(3)]
    await redis.xgroup_create(STREAM, GROUP, id=0)
    await redis.xreadgroup(GROUP, "dead", {STREAM: ">"}, count=2)
    consumer = new_consumer(redis, effects, claim_after=0.4)
    async with running(consumer):
        await asyncio.sleep(0.2)
        assert await effects_of(effects) == []
        await until(lambda: consumer.stats.handled == 3)
    assert await effects_of(effects) == sent
    assert await pending(redis) == 0


async def test_the_json_of_an_older_service_is_handled_once(redis: Redis, effects: Any) -> None:
    """JSON without an event id is the same event when it is delivered again."""
    envelope = wrap(prices(), service="stickershock", key="k")
    legacy = to_json(envelope).replace(f'"event_id": "{envelope.event_id}", ', "")
    assert "event_id" not in legacy
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        for _ in range(2):
            await redis.xadd(STREAM, {"e": legacy})
        await until(lambda: consumer.stats.duplicates == 1)
    assert len(await effects_of(effects)) == 1


async def test_a_stop_lets_the_event_in_hand_finish(redis: Redis, effects: Any) -> None:
    """The handler's effect is committed and acknowledged; the rest waits for the next start."""
    sent = [await add(redis) for _ in range(3)]
    started = asyncio.Event()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        started.set()
        await asyncio.sleep(0.3)
        await write_effect(event, session)

    consumer = new_consumer(redis, effects, handler)
    async with running(consumer) as stop:
        await started.wait()
        stop.set()
        start = time.monotonic()
    assert time.monotonic() - start < 2
    assert await effects_of(effects) == sent[:1]
    assert await pending(redis) == 2
    successor = new_consumer(redis, effects)
    async with running(successor):
        await until(lambda: successor.stats.handled == 2)
    assert await effects_of(effects) == sent


async def test_a_stop_waits_no_longer_than_the_grace(redis: Redis, effects: Any) -> None:
    """A handler that does not end in time is rolled back, and its event left to the next one."""
    event_id = await add(redis)
    started = asyncio.Event()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        started.set()
        await asyncio.sleep(30)

    async with running(new_consumer(redis, effects, handler, grace=0.2)) as stop:
        await started.wait()
        stop.set()
        start = time.monotonic()
    assert time.monotonic() - start < 5
    assert await effects_of(effects) == []
    successor = new_consumer(redis, effects, name="2")
    async with running(successor):
        await until(lambda: successor.stats.handled == 1)
    assert await effects_of(effects) == [event_id]


async def test_a_stop_does_not_wait_for_a_back_off(redis: Redis, effects: Any) -> None:
    """A stop while a failed event waits for its next try is prompt, and loses nothing."""

    async def handler(_event: Event[PricesUpdated], _session: AsyncSession) -> None:
        raise ValueError

    event_id = await add(redis)
    options = ConsumerOptions(block=0.1, first_wait=30, longest_wait=60)
    consumer = Consumer(redis, SqlInbox(effects), group=GROUP, options=options)
    consumer.on(PricesUpdated)(handler)
    async with running(consumer) as stop:
        await asyncio.sleep(0.5)
        stop.set()
        start = time.monotonic()
    assert time.monotonic() - start < 1
    successor = new_consumer(redis, effects)
    async with running(successor):
        await until(lambda: successor.stats.handled == 1)
    assert await effects_of(effects) == [event_id]


async def test_a_stop_while_nothing_happens_takes_one_wait(redis: Redis, effects: Any) -> None:
    """A consumer that waits for an event ends within its block time."""
    async with running(new_consumer(redis, effects)) as stop:
        await asyncio.sleep(0.3)
        stop.set()
        start = time.monotonic()
    assert time.monotonic() - start < 1


async def test_a_second_handler_of_a_payload_is_refused(redis: Redis, effects: Any) -> None:
    """Two handlers of one event would share one mark in the inbox."""
    with pytest.raises(SetupError, match="PricesUpdated has a handler already"):
        new_consumer(redis, effects).on(PricesUpdated)(write_effect)
    with pytest.raises(SetupError, match="no handler"):
        await Consumer(redis, SqlInbox(effects), group=GROUP).run(asyncio.Event())


async def test_a_cancelled_consumer_ends_and_its_successor_goes_on(
    redis: Redis, effects: Any, engine: AsyncEngine, settings: Settings
) -> None:
    """A cancellation, even on a broken connection, is not swallowed and loses nothing."""
    event_id = await add(redis)
    started = asyncio.Event()

    async def handler(_event: Event[PricesUpdated], _session: AsyncSession) -> None:
        started.set()
        await asyncio.sleep(30)

    task = asyncio.create_task(new_consumer(redis, effects, handler).run(asyncio.Event()))
    await started.wait()
    await cut_connections(settings)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    successor = new_consumer(redis, effects)
    async with running(successor):
        await until(lambda: successor.stats.handled == 1)
    assert await effects_of(effects) == [event_id]


async def test_the_inbox_marks_only_what_is_committed(sessions: Any) -> None:
    """The mark goes with the transaction that it was made in, and each group has its own."""
    event_id = new_uuid()
    async with sessions() as session:
        assert await handle_once(session, "a", event_id)
        assert not await handle_once(session, "a", event_id)
        await session.rollback()
        assert await handle_once(session, "a", event_id)
        assert await handle_once(session, "b", event_id)
        await session.commit()
        assert not await handle_once(session, "a", event_id)
        assert await session.scalar(select(func.count()).select_from(InboxEvent)) == 2
