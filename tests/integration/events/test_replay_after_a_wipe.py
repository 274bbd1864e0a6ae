"""A wiped Redis: what it had is handled from the log, by whoever lives, before what is new."""

from __future__ import annotations

import asyncio
import datetime as dt
import math
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import LoggedEvent
from cartsnitch_common.events import Event, encode, group_state, reading, wrap
from cartsnitch_common.events.lag import measure
from tests.event_payloads import prices
from tests.integration.events.consuming import (
    GROUP,
    STREAM,
    add,
    effects_of,
    relayed,
    running,
    until,
    until_effects,
    with_log,
    write_effect,
)


class Gate:
    """A place in a test's course that somebody reaches, and waits at until it is open."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        """Reach it, and go on when it is open."""
        self.reached.set()
        await self.open.wait()

    async def handler(self, event: Event[PricesUpdated], session: AsyncSession) -> None:
        """Waits with its effect written and not committed."""
        await write_effect(event, session)
        await self.wait()


async def test_a_wiped_redis_is_replayed_from_the_log(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """What Redis had and lost is handled from the log, once and in order, before what is new."""
    consumer = with_log(redis, effects)
    sent = await relayed(settings, redis, effects, "a", "b", "a")
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 3)
    sent += await relayed(settings, redis, effects, "a", "b", "b")
    await redis.flushall()
    sent += await relayed(settings, redis, effects, "b", "a")
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 8)
        await redis.flushall()  # and once more, while it runs
        sent += await relayed(settings, redis, effects, "a")
        await until_effects(effects, 9)
    assert await effects_of(effects) == sent


async def test_a_replay_that_was_broken_off_is_done_by_the_next_start(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """A consumer that is stopped in the midst of it leaves the rest to its successor."""
    sent = await relayed(settings, redis, effects, "a", "a", "a", "a")
    await redis.flushall()

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        if str(event.event_id) == sent[1]:
            stop.set()

    async with running(with_log(redis, effects, handler)) as stop:
        await stop.wait()
    assert await effects_of(effects) == sent[:2]
    sent += await relayed(settings, redis, effects, "a")
    async with running(with_log(redis, effects)):
        await until_effects(effects, 5)
    assert await effects_of(effects) == sent


async def test_a_second_process_does_not_overtake_a_replay(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """While one process handles what Redis had lost, no other handles what came after it."""
    sent = await relayed(settings, redis, effects, "a", "a")
    await redis.flushall()
    sent += await relayed(settings, redis, effects, "a")
    gate = Gate()
    async with running(with_log(redis, effects, gate.handler)):
        await gate.reached.wait()
        async with running(with_log(redis, effects, name="2")):
            await asyncio.sleep(1)
            assert await effects_of(effects) == []
            gate.open.set()
            await until_effects(effects, 3)
    assert await effects_of(effects) == sent


async def test_a_second_wipe_while_it_replays_is_found(
    redis: Redis, effects: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was relayed behind the replay's end, and lost again, is handled in its place."""
    monkeypatch.setattr(reading, "LATE", math.inf)  # no late pass repairs it
    sent = await relayed(settings, redis, effects, "a")
    await redis.flushall()
    gate = Gate()
    async with running(with_log(redis, effects, gate.handler)):
        await gate.reached.wait()
        sent += await relayed(settings, redis, effects, "a")
        await redis.flushall()
        sent += await relayed(settings, redis, effects, "a")
        gate.open.set()
        await until_effects(effects, 3)
    assert await effects_of(effects) == sent


async def test_a_slow_member_does_not_hide_a_second_wipe(
    redis: Redis, effects: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is still at the first replay when the other is done with it opens no lost group."""
    monkeypatch.setattr(reading, "LATE", math.inf)
    sent = await relayed(settings, redis, effects, "a", "b")
    await redis.flushall()
    gate = Gate()
    slow = with_log(redis, effects, name="slow")
    replay = slow.replay

    async def held_up(*args: Any, **options: Any) -> Any:
        done = await replay(*args, **options)
        await gate.wait()
        return done

    monkeypatch.setattr(slow, "replay", held_up)
    async with running(slow):
        await gate.reached.wait()
        quick = with_log(redis, effects, name="quick")
        async with running(quick):
            await until_effects(effects, 2)
            sent += await relayed(settings, redis, effects, "a")
            await until_effects(effects, 3)
        sent += await relayed(settings, redis, effects, "a", "b")
        await redis.flushall()
        sent += await relayed(settings, redis, effects, "a")
        gate.open.set()
        await until_effects(effects, 6)
    assert await effects_of(effects) == sent


async def test_a_closed_group_is_behind_by_all_of_its_stream(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """While a replay is under way, the lag tells what comes after it; a new member ends it."""
    await relayed(settings, redis, effects, "a", "b")
    await redis.xgroup_create(STREAM, GROUP, id=group_state.CLOSED)
    async with effects() as session:
        (group,) = [each for each in (await measure(session, redis)).groups if each.group == GROUP]
    assert (group.unread, group.pending) == (2, 0)
    assert group.seconds > 0
    async with running(with_log(redis, effects)):
        await until_effects(effects, 2)


async def test_a_member_that_runs_opens_what_a_dead_one_has_closed(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """Who has seen no wipe looks from time to time, and does the replay that is due."""
    consumer = with_log(redis, effects, claim_after=1.0)
    async with running(consumer):
        sent = await relayed(settings, redis, effects, "a")
        await until_effects(effects, 1)
        await redis.xgroup_setid(STREAM, GROUP, id=group_state.CLOSED)
        sent += await relayed(settings, redis, effects, "a", "b")
        await until_effects(effects, 3, seconds=10)
    assert await effects_of(effects) == sent


async def test_what_reaches_the_log_after_a_wipe_is_found(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relay's batch that was on the wiped Redis and commits later is replayed as well."""
    monkeypatch.setattr(reading, "LATE", 1.0)
    consumer = with_log(redis, effects)
    async with running(consumer):
        sent = await add(redis)
        await until(lambda: consumer.stats.handled == 1)
        late = wrap(prices(), service="stickershock", key="k")
        async with effects.begin() as session:
            row = LoggedEvent(
                id=1,
                event_id=uuid.UUID(late.event_id),
                event_type=late.event_type,
                key=late.key,
                envelope=encode(late),
                created_at=dt.datetime.now(dt.UTC),
            )
            session.add(row)
        await until(lambda: consumer.stats.handled == 2)
    assert await effects_of(effects) == [sent, late.event_id]
