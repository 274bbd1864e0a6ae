from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.errors import EventError, NotFoundError, ServerUnavailableError
from cartsnitch_common.events import (
    Consumer,
    ConsumerOptions,
    async_redis,
    dead_letters,
    encode,
    wrap,
)
from cartsnitch_common.events.inbox import SqlInbox, handle_once
from tests.event_payloads import prices
from tests.integration.events.consuming import (
    FAST,
    GROUP,
    STREAM,
    add,
    effects_of,
    letters,
    new_consumer,
    pending,
    running,
    until,
    write_effect,
)


async def bury(redis: Redis, sessions: Any, data: bytes | None = None) -> uuid.UUID:
    """Have the consumer give up on an event that its handler refuses; returns the letter's id."""

    async def refuse(*_: Any) -> None:
        raise ValueError

    if data is None:
        await add(redis)
    else:
        await redis.xadd(STREAM, {"e": data})
    before = len(await letters(sessions))
    consumer = new_consumer(redis, sessions, refuse)
    async with running(consumer):
        await until(lambda: consumer.stats.dead == 1)
    found = await letters(sessions)
    assert len(found) == before + 1
    return found[-1].id


async def redrive(sessions: Any, redis: Redis, letter_id: uuid.UUID) -> None:
    async with sessions.begin() as session:
        await dead_letters.redrive(session, redis, letter_id)


async def test_a_redriven_event_takes_effect_once_and_with_its_consumer_alone(
    redis: Redis, effects: Any
) -> None:
    """The consumer that gave up gets the event again and once; another group's effect stays one."""
    others: list[uuid.UUID] = []

    async def handle(event: Any, _: Any) -> None:
        others.append(event.event_id)

    other = Consumer(redis, SqlInbox(effects), group="clipartist", options=ConsumerOptions(**FAST))
    other.on(PricesUpdated)(handle)
    letter_id = await bury(redis, effects)
    async with running(other):
        await until(lambda: other.stats.handled == 1)
        await redrive(effects, redis, letter_id)
        consumer = new_consumer(redis, effects)
        async with running(consumer):
            await until(lambda: consumer.stats.handled == 1)
        await until_done(redis, "clipartist", await redis.xlen(STREAM))
    assert await effects_of(effects) == [str(others[0])]
    assert len(others) == 1
    assert other.stats.duplicates == 0  # it was not even asked
    assert await letters(effects) == []
    assert await pending(redis) == 0


async def test_a_consumer_waits_for_the_end_of_a_redrive(redis: Redis, effects: Any) -> None:
    """An entry that is read before the commit is handled after it, and dropped at a rollback."""
    letter_id = await bury(redis, effects)
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        async with effects() as session:
            await dead_letters.redrive(session, redis, letter_id)
            await until_one_waits(effects)
            assert await effects_of(effects) == []
            await session.rollback()
        await until(lambda: consumer.stats.duplicates == 1)
        assert [letter.id for letter in await letters(effects)] == [letter_id]
        assert await effects_of(effects) == []

        async with effects() as session:
            await dead_letters.redrive(session, redis, letter_id)
            await until_one_waits(effects)
            assert await effects_of(effects) == []
            await session.commit()
        await until(lambda: consumer.stats.handled == 1)
    assert len(await effects_of(effects)) == 1
    assert await letters(effects) == []


async def until_done(redis: Redis, group: str, count: int) -> None:
    """Until a group has read so many entries and acknowledged them."""
    async with asyncio.timeout(10):
        while True:
            groups = {facts["name"]: facts for facts in await redis.xinfo_groups(STREAM)}
            facts = groups[group.encode()]
            if facts["entries-read"] == count and not facts["pending"]:
                return
            await asyncio.sleep(0.02)


async def until_one_waits(sessions: Any) -> None:
    """Until a transaction waits for another one."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(10), sessions() as session:
        while not await session.scalar(query):
            await session.rollback()  # within a transaction the answer stays the same
            await asyncio.sleep(0.02)


async def test_a_letter_is_redriven_by_one_of_two_who_try(redis: Redis, effects: Any) -> None:
    """Two operators at once put the event on its stream once; the second is told."""
    letter_id = await bury(redis, effects)
    before = await redis.xlen(STREAM)
    outcomes = await asyncio.gather(
        *(redrive(effects, redis, letter_id) for _ in "12"), return_exceptions=True
    )
    assert sorted(type(outcome) for outcome in outcomes if outcome) == [NotFoundError]
    assert await redis.xlen(STREAM) == before + 1


async def test_an_event_that_fails_again_is_a_dead_letter_again(redis: Redis, effects: Any) -> None:
    """A redrive may be repeated: the letter comes back with a new entry."""
    first = await bury(redis, effects)
    (old,) = await letters(effects)

    async def refuse(*_: Any) -> None:
        raise ValueError

    await redrive(effects, redis, first)
    consumer = new_consumer(redis, effects, refuse)
    async with running(consumer):
        await until(lambda: consumer.stats.dead == 1)
    (again,) = await letters(effects)
    assert again.id != first
    assert again.entry_id != old.entry_id
    assert again.envelope == old.envelope


async def test_a_letter_that_is_no_event_takes_no_mark_away(redis: Redis, effects: Any) -> None:
    """Bytes that quote the id of a handled event do not let that event happen twice."""
    event_id = await add(redis)
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 1)
    forged = wrap(prices(), service="stickershock", key="k", event_id=event_id)
    forged.event_type = "cartsnitch.coupons.updated"  # and a payload that does not belong to it
    letter_id = await bury(redis, effects, forged.SerializeToString())
    await redrive(effects, redis, letter_id)
    async with effects.begin() as session:
        assert not await handle_once(session, GROUP, uuid.UUID(event_id))
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.dead == 1)
    assert await effects_of(effects) == [event_id]
    assert len(await letters(effects)) == 1


async def test_what_cannot_be_redriven_stays(redis: Redis, effects: Any) -> None:
    """A letter without bytes, or of a type of a newer version, is refused and kept."""
    letter_id = await bury(redis, effects)
    newer = wrap(prices(), service="stickershock", key="k")
    newer.ClearField("prices_updated")
    newer.event_type = "cartsnitch.baskets.compared"
    for data, said in ((b"", "replay"), (encode(newer), "does not know")):
        async with effects.begin() as session:
            change = text("UPDATE event_dead_letters SET envelope = :data")
            await session.execute(change, {"data": data})
        with pytest.raises(EventError, match=said):
            await redrive(effects, redis, letter_id)
        assert [letter.id for letter in await letters(effects)] == [letter_id]


async def test_without_redis_nothing_changes(redis: Redis, effects: Any) -> None:
    """When Redis does not take the event, letter and mark stay."""
    letter_id = await bury(redis, effects)
    (letter,) = await letters(effects)
    broken = async_redis(Settings(redis_url=SecretStr("redis://127.0.0.1:1/0")))
    with pytest.raises(ServerUnavailableError):
        await redrive(effects, broken, letter_id)
    await broken.aclose()
    assert [kept.id for kept in await letters(effects)] == [letter_id]
    event = dead_letters.envelope_of(letter)
    assert event is not None
    async with effects.begin() as session:
        assert not await handle_once(session, GROUP, uuid.UUID(event.event_id))


async def test_a_dropped_event_stays_handled(redis: Redis, effects: Any) -> None:
    """Dropping takes the letter alone: delivered once more, the event has no effect."""
    letter_id = await bury(redis, effects)
    (letter,) = await letters(effects)
    async with effects.begin() as session:
        assert await dead_letters.drop(session, [letter_id, uuid.uuid4()]) == 1
    await redis.xadd(STREAM, {"e": letter.envelope})
    consumer = new_consumer(redis, effects, write_effect)
    async with running(consumer):
        await until(lambda: consumer.stats.duplicates == 1)
    assert await effects_of(effects) == []
    assert await letters(effects) == []
