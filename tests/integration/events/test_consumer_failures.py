from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.db.models import DeadLetter
from cartsnitch_common.errors import DataRefusedError, InvalidFieldError
from cartsnitch_common.events import Consumer, Event, encode, wrap
from tests.event_payloads import coupons, prices
from tests.integration.events.consuming import (
    GROUP,
    STREAM,
    Killed,
    add,
    effects_of,
    letters,
    new_consumer,
    pending,
    running,
    until,
    write_effect,
)


async def only_the_bad_dies(
    redis: Redis, effects: Any, handler: Any
) -> tuple[Consumer[AsyncSession], str, DeadLetter]:
    """The consumer, the id of the event of the key "bad", and its letter; a good one is handled."""
    bad = await add(redis, "bad")
    good = await add(redis, "good")
    consumer = new_consumer(redis, effects, handler)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == consumer.stats.dead == 1)
    assert await effects_of(effects) == [good]
    (letter,) = await letters(effects)
    return consumer, bad, letter


@pytest.mark.parametrize("name", ["1", "dead"])
async def test_an_entry_that_the_stream_lost_is_a_dead_letter(
    redis: Redis, effects: Any, name: str
) -> None:
    """What was trimmed while it was pending, own or another's, is not lost without a word."""
    sent = [await add(redis) for _ in range(4)]
    await redis.xgroup_create(STREAM, GROUP, id=0)
    await redis.xreadgroup(GROUP, name, {STREAM: ">"})
    ids = [entry_id for entry_id, _ in await redis.xrange(STREAM)]
    await redis.xdel(STREAM, ids[1], ids[2])
    consumer = new_consumer(redis, effects, claim_after=0)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == consumer.stats.dead == 2)
    assert await effects_of(effects) == [sent[0], sent[3]]
    found = await letters(effects)
    assert [letter.entry_id for letter in found] == [ids[1].decode(), ids[2].decode()]
    assert {letter.envelope for letter in found} == {b""}
    assert "lost" in found[0].reason
    assert await pending(redis) == 0


async def test_an_error_of_sql_that_a_handler_hides_is_its_failure(
    redis: Redis, effects: Any
) -> None:
    """PostgreSQL has ended the transaction: its commit writes nothing, and is no success."""

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        if event.key == "bad":
            with suppress(DataRefusedError):
                await session.execute(text("SELECT 1 / 0"))

    _, _, letter = await only_the_bad_dies(redis, effects, handler)
    assert letter.reason.startswith("TransactionAbortedError")
    assert letter.deliveries == 5


async def test_a_failing_handler_is_tried_again_in_place(redis: Redis, effects: Any) -> None:
    """A failure rolls back and is repeated; the next event of the key waits for it."""
    sent = [await add(redis), await add(redis)]
    tries = 0

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        nonlocal tries
        await write_effect(event, session)
        if str(event.event_id) == sent[0]:
            tries += 1
            if tries < 4:
                raise ValueError

    consumer = new_consumer(redis, effects, handler)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 2)
    assert await effects_of(effects) == sent
    assert (tries, consumer.stats.retries, consumer.stats.dead) == (4, 3, 0)
    assert await letters(effects) == []


async def test_a_hopeless_event_becomes_a_dead_letter(
    redis: Redis, effects: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """After five deliveries it is recorded with its reason, and the next event has its turn."""

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        await write_effect(event, session)
        if event.key == "bad":
            raise RuntimeError("jane@example.com")

    consumer, bad, letter = await only_the_bad_dies(redis, effects, handler)
    assert (letter.consumer, letter.stream, letter.deliveries) == (GROUP, STREAM, 5)
    assert letter.reason == "RuntimeError"
    assert wrap(prices(), service="stickershock", key="bad").key.encode() in letter.envelope
    assert (consumer.stats.dead, consumer.stats.retries) == (1, 4)
    assert await pending(redis) == 0
    assert "jane" not in caplog.text
    assert "in test_a_hopeless_event_becomes_a_dead_letter.<locals>.handler" in caplog.text
    async with running(consumer):  # it is done with, also when it comes again
        await add(redis, "bad", event_id=bad)
        await until(lambda: consumer.stats.duplicates == 1)
    assert len(await letters(effects)) == 1


async def test_our_own_errors_say_why(redis: Redis, effects: Any) -> None:
    """A dead letter of an error of this package holds its message, which names no value."""

    async def handler(_event: Event[PricesUpdated], _session: AsyncSession) -> None:
        raise InvalidFieldError("total", "is missing")

    await add(redis)
    consumer = new_consumer(redis, effects, handler, most_deliveries=1)
    async with running(consumer):
        await until(lambda: consumer.stats.dead == 1)
    assert (await letters(effects))[0].reason == "InvalidFieldError: total: is missing"


async def test_what_is_no_event_is_a_dead_letter_at_once(redis: Redis, effects: Any) -> None:
    """Bytes that can never be handled are not tried again and hold nothing up."""
    stray = wrap(coupons(), service="clipartist", key="k")
    for data in (b"garbage", b"", encode(stray), b"x" * 300_000):
        await redis.xadd(STREAM, {"e": data})
    await redis.xadd(STREAM, {"other": b"field"})
    good = await add(redis)
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 1 and consumer.stats.dead == 5)
    assert await effects_of(effects) == [good]
    assert consumer.stats.dead == 5
    assert consumer.stats.retries == 0
    found = await letters(effects)
    assert [letter.deliveries for letter in found] == [1] * 5
    assert found[0].envelope == b"garbage"
    assert found[0].reason.startswith("MalformedEnvelopeError: ")
    assert found[3].reason.startswith("EventTooLargeError: ")
    assert await pending(redis) == 0


async def test_an_event_of_a_newer_version_is_skipped_and_counted(
    redis: Redis, effects: Any
) -> None:
    """An unknown type is no dead letter: this version has nothing to do with it."""
    unknown = wrap(prices(), service="stickershock", key="k")
    unknown.ClearField("prices_updated")
    unknown.event_type = "cartsnitch.baskets.compared"
    await redis.xadd(STREAM, {"e": encode(unknown)})
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.skipped == 1)
    assert await letters(effects) == []
    assert await pending(redis) == 0


async def test_an_event_that_kills_the_process_is_given_up(redis: Redis, effects: Any) -> None:
    """Deliveries that never ended are counted by Redis; the events beside it are innocent."""
    killer = await add(redis, "killer")
    innocent = [await add(redis, "innocent") for _ in range(3)]

    async def handler(event: Event[PricesUpdated], session: AsyncSession) -> None:
        if event.key == "killer":
            raise Killed  # as far as a test may go
        await write_effect(event, session)

    for _ in range(5):
        with pytest.raises(Killed):
            await new_consumer(redis, effects, handler, concurrency=1).run(asyncio.Event())
    consumer = new_consumer(redis, effects, handler, concurrency=1)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 3)
    assert await effects_of(effects) == innocent
    (letter,) = await letters(effects)
    assert killer.encode() in letter.envelope
    assert letter.reason == "EventError: the process ended in every delivery"
    assert letter.deliveries == 5


async def test_a_log_line_of_a_dead_letter_holds_no_payload(
    redis: Redis, effects: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be read is in the table, not in the log."""
    caplog.set_level(logging.DEBUG)
    await redis.xadd(STREAM, {"e": b"jane@example.com"})
    consumer = new_consumer(redis, effects)
    async with running(consumer):
        await until(lambda: consumer.stats.dead == 1)
    assert "gave up" in caplog.text
    assert "jane" not in caplog.text


async def test_a_consumer_that_is_cancelled_twice_leaves_no_task(
    redis: Redis, effects: Any
) -> None:
    """Whoever is impatient cancels again, while a handler still ends: nothing works on."""
    await add(redis)
    started, ending = asyncio.Event(), asyncio.Event()

    async def handler(_event: Event[PricesUpdated], _session: AsyncSession) -> None:
        started.set()
        try:
            await asyncio.sleep(30)
        finally:
            ending.set()
            await asyncio.sleep(0.2)

    before = asyncio.all_tasks()
    task = asyncio.create_task(new_consumer(redis, effects, handler).run(asyncio.Event()))
    await started.wait()
    task.cancel()
    await ending.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: asyncio.all_tasks() == before, seconds=5)
