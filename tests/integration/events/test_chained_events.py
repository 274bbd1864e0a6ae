"""A commit that begins the next event: what is told, and what is left behind."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.events import Consumer, Event
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from cartsnitch_common.events.inbox import handle_once
from tests.integration.events.chaining import (
    Connection,
    Seen,
    add_keys,
    marks,
    new_consumer,
    none_idle,
    write,
)
from tests.integration.events.consuming import (
    GROUP,
    STREAM,
    add,
    effects_of,
    letters,
    pending,
    running,
    until,
)

_DEFERRED = """ALTER TABLE effects ADD CONSTRAINT late UNIQUE (event_id)
               DEFERRABLE INITIALLY DEFERRED"""


async def test_an_event_is_two_round_trips_when_the_next_is_ready(
    redis: Redis, effects: Any, inbox: AsyncpgInbox, settings: Settings
) -> None:
    """Each has its limit of time and its effect, in the order in which they came."""
    seen, limits = Seen(), list[str]()

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        seen.watch(connection)
        limits.append(await connection.fetchval("SHOW statement_timeout"))
        await write(event, connection)

    sent = await add_keys(redis, 20)
    await add(redis, "again", event_id=sent[7])
    sent.append(await add(redis, "last"))
    consumer = new_consumer(redis, inbox, handle)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 21 and consumer.stats.duplicates == 1)
    assert await effects_of(effects) == sent
    assert await marks(effects) == set(sent)
    assert await pending(redis) == 0
    assert limits == [f"{settings.database_statement_timeout:g}s"] * 21
    assert seen.chained == 21


async def test_a_swallowed_error_is_found_and_is_its_own_events(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """A transaction that an error ended is no commit, and the next event has its effect."""

    async def fail(_event: Event[PricesUpdated], connection: Connection) -> None:
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1 / 0")

    reason = await _only_the_first_dies(redis, effects, inbox, fail)
    assert reason.startswith("TransactionAbortedError")


async def test_a_commit_that_fails_is_told_for_its_own_event(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """What a commit finds out, such as a deferred constraint, is no fault of the next event."""
    async with effects.begin() as session:
        await session.execute(text(_DEFERRED))

    reason = await _only_the_first_dies(redis, effects, inbox, write)
    assert reason.startswith("UniqueViolationError")


async def _only_the_first_dies(redis: Redis, effects: Any, inbox: AsyncpgInbox, spoil: Any) -> str:
    """Have the first of three events spoil its transaction; why it is a dead letter."""

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        tries.append(event.key)
        await write(event, connection)
        if event.key == "k0":
            await spoil(event, connection)

    sent, tries = await add_keys(redis, 3), list[str]()
    consumer = new_consumer(redis, inbox, handle, options={"most_deliveries": 1})
    async with running(consumer):
        await until(lambda: consumer.stats.handled + consumer.stats.dead == 3)
    assert tries == ["k0", "k1", "k2"]
    assert await effects_of(effects) == sent[1:]
    (letter,) = await letters(effects)
    assert sent[0].encode() in letter.envelope
    reason: str = letter.reason
    return reason


async def test_a_mark_that_is_held_costs_the_event_before_it_nothing_but_a_wait(
    redis: Redis, effects: Any, settings: Settings
) -> None:
    """The next event's mark is held all the same: the former has its effect and is done with.

    No other event waits for that mark again, for it was tried.
    """
    limits = {"database_statement_timeout": 0.2, "database_connect_timeout": 0.3}
    engine = async_engine(settings.model_copy(update=limits))
    inbox, seen = AsyncpgInbox(engine), Seen()

    consumer = new_consumer(redis, inbox, seen.write)
    sent = await add_keys(redis, 6)
    async with effects() as holder:
        await handle_once(holder, GROUP, uuid.UUID(sent[1]))
        async with running(consumer):
            await until(lambda: consumer.stats.handled + consumer.stats.duplicates == 5)
            assert sorted(await effects_of(effects)) == sorted([sent[0], *sent[2:]])
            assert consumer.stats.dead == consumer.stats.retries == 0
            waits = [query for query in seen.queries if sent[1] in query and "COMMIT;" in query]
            assert len(waits) == 1
            await holder.rollback()
            await until(lambda: consumer.stats.handled + consumer.stats.duplicates == 6)
    assert sorted(await effects_of(effects)) == sorted(sent)
    assert await pending(redis) == 0
    assert await letters(effects) == []
    await none_idle(effects)
    await inbox.aclose()
    await engine.dispose()


async def test_what_another_process_had_in_hand_is_begun_by_itself(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """That process may be in the midst of it, suspended, and hold its mark."""
    seen = Seen()

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        await asyncio.sleep(0.05)
        await seen.write(event, connection)

    sent = await add_keys(redis, 20)
    consumer = new_consumer(redis, inbox, handle, options={"batch_size": 12, "claim_after": 0.3})
    async with running(consumer):
        await until(lambda: consumer.stats.handled > 0)
        sent.append(await add(redis, "others"))
        await redis.xreadgroup(GROUP, "2", {STREAM: ">"})
        await until(lambda: consumer.stats.handled == 21)
    assert await effects_of(effects) == sent
    assert seen.chained > 10
    (begun,) = (query for query in seen.queries if "event_inbox" in query and sent[-1] in query)
    assert begun.startswith("BEGIN ")


async def test_an_event_that_was_delivered_before_is_begun_by_itself(
    redis: Redis, effects: Any, inbox: AsyncpgInbox
) -> None:
    """Its mark may be held by the delivery before, which no commit has to wait for."""
    seen = Seen()

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        await seen.write(event, connection)
        if event.key == "k1" and not failed:
            failed.append(event)
            raise ValueError

    failed: list[Any] = []
    sent = await add_keys(redis, 30)
    consumer = new_consumer(redis, inbox, handle)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 30)
    assert sorted(await effects_of(effects)) == sorted(sent)
    begun = [query for query in seen.queries if "INTO event_inbox" in query and sent[1] in query]
    assert [query.startswith("BEGIN ") for query in begun] == [False, True]


class _Roles(AsyncpgInbox):
    """Puts something of its own around each transaction."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        async with super().transaction() as connection:
            await connection.execute("BEGIN; SET LOCAL cartsnitch.role = 'handler'")
            yield connection


async def test_an_inbox_with_transactions_of_its_own_begins_each_event_by_itself(
    redis: Redis, effects: Any, engine: AsyncEngine
) -> None:
    """What a subclass says at the beginning of a transaction is said for every event."""
    inbox, seen, roles = _Roles(engine), Seen(), list[str]()

    async def handle(event: Event[PricesUpdated], connection: Connection) -> None:
        seen.watch(connection)
        roles.append(await connection.fetchval("SELECT current_setting('cartsnitch.role', true)"))
        await write(event, connection)

    sent = await add_keys(redis, 10)
    consumer = new_consumer(redis, inbox, handle)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 10)
    assert roles == ["handler"] * 10
    assert seen.chained == 0
    assert await effects_of(effects) == sent
    await inbox.aclose()


class _Named(AsyncpgInbox):
    """Marks under another name, in a way of its own."""

    async def first_time(self, session: Connection, consumer: str, event_id: uuid.UUID) -> bool:
        if not session.is_in_transaction():
            await session.execute("BEGIN")
        mark = "INSERT INTO event_inbox (consumer, event_id) VALUES ($1, $2)"
        return bool(await session.execute(mark, f"of {consumer}", event_id))


class _Around:
    """Marks under another name, around an inbox."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._inbox = AsyncpgInbox(engine)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inbox, name)

    async def first_time(self, session: Connection, consumer: str, event_id: uuid.UUID) -> bool:
        return await self._inbox.first_time(session, f"of {consumer}", event_id)


@pytest.mark.parametrize("kind", [_Named, _Around])
async def test_an_inbox_with_marks_of_its_own_leaves_no_others(
    redis: Redis, effects: Any, engine: AsyncEngine, kind: Any
) -> None:
    """A mark with which a transaction was begun is undone if another one is asked for."""
    inbox = kind(engine)
    sent = await add_keys(redis, 10)
    consumer: Consumer[Any] = new_consumer(redis, inbox)
    async with running(consumer):
        await until(lambda: consumer.stats.handled == 10)
    assert await marks(effects, f"of {GROUP}") == set(sent)
    assert await marks(effects) == set()
    assert await effects_of(effects) == sent
    await inbox.aclose()
