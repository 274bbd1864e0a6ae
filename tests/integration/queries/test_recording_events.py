from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.errors import NotAPublisherError
from cartsnitch_common.events import decode
from cartsnitch_common.events.outbox import enqueue, enqueue_all
from tests.event_payloads import coupons, matches, prices, receipts

type Sessions = async_sessionmaker[AsyncSession]


@pytest.fixture
async def sessions(database: str) -> AsyncIterator[Sessions]:
    engine = async_engine(Settings.load(database_url=database), pool_size=20)
    yield async_sessions(engine)
    await engine.dispose()


async def written(sessions: Sessions) -> list[OutboxEvent]:
    async with sessions() as session:
        return list(await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)))


async def test_many_events_are_written_in_their_order(sessions: Sessions) -> None:
    """Their ids ascend as the events were given, and the envelopes are those that are answered."""
    events = [(prices(units=n), f"key-{n * 7 % 5}") for n in range(1, 60)]
    events[7] = (receipts(), "user")
    events[9] = (matches(), "store")
    async with sessions.begin() as session:
        envelopes = await enqueue_all(
            session, events, service="receiptwitness", correlation_id="one sync"
        )
    rows = await written(sessions)
    assert [decode(row.envelope) for row in rows] == envelopes
    assert [row.key for row in rows] == [key for _, key in events]
    assert {envelope.correlation_id for envelope in envelopes} == {"one sync"}


async def test_no_events_are_nothing(sessions: Sessions) -> None:
    """An empty list writes nothing."""
    async with sessions.begin() as session:
        assert await enqueue_all(session, [], service="receiptwitness") == []
    assert await written(sessions) == []


async def test_one_event_that_is_refused_refuses_all(sessions: Sessions) -> None:
    """What another service publishes stops the statement before it runs."""
    async with sessions.begin() as session:
        with pytest.raises(NotAPublisherError):
            await enqueue_all(
                session, [(prices(), "a"), (coupons(), "b")], service="receiptwitness"
            )
    assert await written(sessions) == []


async def test_ids_are_drawn_when_every_key_is_held(sessions: Sessions) -> None:
    """Who waits for one key's lock comes behind it, also with its events of other keys."""
    async with sessions() as holder, sessions() as waiter:
        await enqueue(holder, prices(), service="receiptwitness", key="held")
        waiting = asyncio.create_task(
            enqueue_all(waiter, [(prices(), "free"), (prices(), "held")], service="receiptwitness")
        )
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await enqueue(holder, prices(), service="receiptwitness", key="held")
        await holder.commit()
        await waiting
        await waiter.commit()
    assert [row.key for row in await written(sessions)] == ["held", "held", "free", "held"]


async def test_keys_in_any_order_never_deadlock(sessions: Sessions) -> None:
    """Transactions that enqueue for the same keys the other way round all succeed."""
    keys = [f"key-{number}" for number in range(12)]

    async def write(turn: int) -> None:
        mine = keys[turn:] + keys[:turn]
        async with sessions.begin() as session:
            events = [(prices(), key) for key in (mine[::-1] if turn % 2 else mine)]
            await enqueue_all(session, events, service="receiptwitness")

    await asyncio.gather(*(write(turn % 12) for turn in range(36)))
    assert len(await written(sessions)) == 36 * 12
