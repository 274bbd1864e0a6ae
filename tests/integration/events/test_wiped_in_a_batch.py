"""Redis is wiped while a relay works: what the log has, and what the streams will have."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import LoggedEvent
from cartsnitch_common.events import Event, encode, replay_log, wrap
from cartsnitch_common.events.relay import Point
from tests.event_payloads import prices
from tests.integration.events import relaying
from tests.integration.events.consuming import (
    STREAM,
    effects_of,
    running,
    until_effects,
    with_log,
    write_effect,
)


async def test_what_was_published_and_not_yet_logged_comes_first(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """Who finds its group gone reads the log when the batches under way are in it.

    Else what is relayed next would take effect before what the wipe took away.
    """
    published, go_on = asyncio.Event(), asyncio.Event()

    async def hold(point: Point) -> None:
        if point is Point.AFTER_PUBLISH:
            published.set()
            await go_on.wait()

    (first,) = await relaying.write(effects, "k")
    consumer = with_log(redis, effects)
    async with relaying.running(relaying.Watched(settings, hold)):
        await published.wait()
        await redis.flushall()
        (second,) = await relaying.write(effects, "k")
        async with running(consumer):
            await asyncio.sleep(0.4)  # it has made its group and would have read the log
            go_on.set()
            await until_effects(effects, 2)
    assert await effects_of(effects) == [first, second]


async def test_what_is_relayed_during_a_replay_waits_on_its_stream(
    redis: Redis, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event with an id that the replay has passed is not overtaken by a later one of its key.

    Ids are drawn before the commit: what is relayed now may have a smaller one than what was.
    """
    monkeypatch.setattr(replay_log, "_PAGE", 1)

    async def log(number: int, key: str) -> str:
        envelope = wrap(prices(), service="stickershock", key=key)
        async with effects.begin() as session:
            row = LoggedEvent(
                id=number,
                event_id=uuid.UUID(envelope.event_id),
                event_type=envelope.event_type,
                key=key,
                envelope=encode(envelope),
                created_at=dt.datetime.now(dt.UTC),
            )
            session.add(row)
        if key == "k":  # the others are what a wipe took away
            await redis.xadd(STREAM, {"e": encode(envelope)})
        return envelope.event_id

    async def relay_more(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        if event.event_id == uuid.UUID(sent[0]):
            sent.extend([await log(9, "k"), await log(12, "k")])

    sent = [await log(10, "a"), await log(11, "b")]
    consumer = with_log(redis, effects, relay_more)
    async with running(consumer):
        await until_effects(effects, 4)
    assert await effects_of(effects) == sent
