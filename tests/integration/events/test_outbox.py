from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import delete, func, select, text
from sqlalchemy.event import listens_for
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import sync_engine, sync_sessions
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.errors import InvalidFieldError, NotAPublisherError
from cartsnitch_common.events import decode
from cartsnitch_common.events.outbox import enqueue, enqueue_all_sync, enqueue_sync
from tests.event_payloads import coupons, prices


async def write(session: Any, key: str) -> Any:
    return await enqueue(session, prices(), service="receiptwitness", key=key)


async def rows(sessions: Any) -> list[OutboxEvent]:
    async with sessions() as session:
        return list(await session.scalars(select(OutboxEvent).order_by(OutboxEvent.id)))


async def test_an_event_is_there_when_its_transaction_is_committed(sessions: Any) -> None:
    """The row holds the envelope and what the relay needs of it; nothing commits early."""
    async with sessions() as session:
        envelope = await write(session, "store-1")
        assert await rows(sessions) == []
        await session.commit()
    (row,) = await rows(sessions)
    assert decode(row.envelope) == envelope
    assert str(row.event_id) == envelope.event_id
    assert (row.event_type, row.key) == ("cartsnitch.prices.updated", "store-1")


async def test_a_rolled_back_event_was_never_there(sessions: Any) -> None:
    """Neither a rollback nor one to a savepoint leaves an event behind."""
    async with sessions() as session:
        await write(session, "store-1")
        await session.rollback()
        savepoint = await session.begin_nested()
        await write(session, "store-2")
        await savepoint.rollback()
        await write(session, "store-3")
        await session.commit()
    assert [row.key for row in await rows(sessions)] == ["store-3"]


def test_threads_write_events_too(settings: Settings) -> None:
    """The sync form writes the same row, in the sync session's transaction."""
    engine = sync_engine(settings)
    sessions = sync_sessions(engine)
    with sessions() as session:
        enqueue_sync(session, prices(), service="receiptwitness", key="lost")
        session.rollback()
        envelope = enqueue_sync(session, prices(), service="receiptwitness", key="kept")
        session.commit()
        (row,) = session.scalars(select(OutboxEvent))
        assert decode(row.envelope) == envelope
        assert row.key == "kept"
        session.execute(delete(OutboxEvent))
        written = enqueue_all_sync(
            session, [(prices(), "b"), (prices(), "a")], service="receiptwitness"
        )
        assert enqueue_all_sync(session, [], service="receiptwitness") == []
        session.commit()
        found = session.scalars(select(OutboxEvent).order_by(OutboxEvent.id))
        assert [decode(row.envelope) for row in found] == written
    engine.dispose()


async def test_a_refused_event_writes_nothing(sessions: Any) -> None:
    """What the contract refuses leaves the transaction usable and without an event."""
    async with sessions.begin() as session:
        with pytest.raises(NotAPublisherError):
            await enqueue(session, coupons(), service="receiptwitness", key="k")
        with pytest.raises(InvalidFieldError):
            await enqueue(session, PricesUpdated(), service="receiptwitness", key="k")
        assert await session.scalar(select(func.count()).select_from(OutboxEvent)) == 0


async def test_an_event_is_written_in_one_round_trip(engine: AsyncEngine, sessions: Any) -> None:
    """Taking the key's lock costs no statement of its own."""
    statements: list[str] = []

    @listens_for(engine.sync_engine, "before_cursor_execute")
    def remember(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    async with sessions.begin() as session:
        await session.connection()
        statements.clear()
        await write(session, "k")
        assert len(statements) == 1


async def test_a_waiting_transaction_draws_its_id_after_the_wait(sessions: Any) -> None:
    """Ids of one key are in the order of commits, also for who waited while ids went by.

    The id is drawn when the key's lock is held. Drawn before, the waiting
    transaction would come back with an id below that of the transaction that
    passed it by.
    """
    async with sessions() as first, sessions() as second, sessions() as other:
        await write(first, "shared")
        waiting = asyncio.create_task(write(second, "shared"))
        await until_one_waits(sessions)
        for _ in range(3):
            await write(other, "other")
        await other.commit()
        assert not waiting.done()
        await first.commit()
        await asyncio.wait_for(waiting, 10)
        await second.commit()
    keys = [row.key for row in await rows(sessions)]
    assert keys == ["shared", "other", "other", "other", "shared"]


async def test_other_keys_and_other_types_do_not_wait(sessions: Any) -> None:
    """Only events of one type and key are ordered, so only they wait for each other."""
    async with sessions() as first, sessions() as second:
        await write(first, "one")
        async with asyncio.timeout(5):
            await write(second, "two")
            await enqueue(second, coupons(), service="clipartist", key="one")
        await second.commit()
        await first.rollback()


async def test_a_keys_lock_ends_with_its_transaction(sessions: Any) -> None:
    """After commit or rollback nothing of the lock is left in the session."""
    async with sessions() as session:
        for end in (session.commit, session.rollback):
            await write(session, "k")
            await end()
            held = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
            assert await session.scalar(held) == 0


async def until_one_waits(sessions: Any) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with asyncio.timeout(10):
        while True:
            async with sessions() as session:
                if await session.scalar(waiting):
                    return
            await asyncio.sleep(0.01)
