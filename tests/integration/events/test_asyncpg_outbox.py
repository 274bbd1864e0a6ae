"""Events enqueued with asyncpg's own connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.engine import make_url

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.errors import InvalidFieldError, NotAPublisherError, TimeLimitError
from cartsnitch_common.events import decode
from cartsnitch_common.events.asyncpg_outbox import enqueue
from tests.event_payloads import coupons, prices
from tests.integration.events.test_outbox import rows, write


@pytest.fixture
async def connection(settings: Settings) -> AsyncIterator[asyncpg.Connection[Any]]:
    url = make_url(settings.require_database_url()).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    yield connection
    await connection.close()


async def add(connection: asyncpg.Connection[Any], key: str) -> str:
    made = await enqueue(connection, prices(), service="receiptwitness", key=key)
    return str(made)


async def test_the_row_is_that_of_a_session(
    connection: asyncpg.Connection[Any], sessions: Any
) -> None:
    """The event is there with its transaction or not at all, and reads as ``enqueue`` writes it."""
    undone = connection.transaction()
    await undone.start()
    await add(connection, "lost")
    await undone.rollback()
    async with connection.transaction():
        event_id = await add(connection, "store-1")
        assert await rows(sessions) == []
    alone = await add(connection, "store-2")
    found = await rows(sessions)
    assert decode(found[0].envelope).prices_updated.observations
    assert [str(row.event_id) for row in found] == [event_id, alone]
    envelope = decode(found[0].envelope)
    assert (envelope.event_id, envelope.event_type) == (event_id, found[0].event_type)
    assert (envelope.key, found[0].key) == ("store-1", "store-1")


async def test_a_refused_event_writes_nothing(
    connection: asyncpg.Connection[Any], sessions: Any
) -> None:
    """What the contract refuses leaves the transaction usable and without an event."""
    async with connection.transaction():
        with pytest.raises(NotAPublisherError):
            await enqueue(connection, coupons(), service="receiptwitness", key="k")
        with pytest.raises(InvalidFieldError):
            await enqueue(connection, PricesUpdated(), service="receiptwitness", key="k")
        await add(connection, "kept")
    assert [row.key for row in await rows(sessions)] == ["kept"]


async def test_it_waits_for_the_lock_of_a_session(
    connection: asyncpg.Connection[Any], sessions: Any
) -> None:
    """Writers of both kinds share the key's order; a wait that is too long is our error."""
    async with sessions() as session:
        await write(session, "shared")
        await connection.execute("SET statement_timeout = '50ms'")
        with pytest.raises(TimeLimitError):
            await add(connection, "shared")
        await connection.execute("RESET statement_timeout")
        waiting = asyncio.create_task(add(connection, "shared"))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await session.commit()
    event_id = await asyncio.wait_for(waiting, 10)
    async with sessions() as session:
        last = await session.scalar(select(OutboxEvent).order_by(OutboxEvent.id.desc()))
    assert str(last.event_id) == event_id
