"""A stream whose transaction ends before it: one error that says so, and nobody else is hurt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch_common.convert import fetch_messages, stream_messages
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.errors import DatabaseError
from tests.integration.convert.conftest import Filled
from tests.integration.convert.kept import begun

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

NEEDED = "^a stream needs its transaction until it is read to the end$"


def prices(reader: Any) -> Any:
    return stream_messages(reader, select(models.PriceHistory), batch_size=10)


def purchases(reader: Any) -> Any:
    return stream_messages(reader, select(models.Purchase), batch_size=10, with_items=True)


async def read_after(stream: Any, ending: Callable[[], Awaitable[Any]]) -> int:
    """How many messages were read; the transaction was ended behind the first."""
    read = [await anext(stream)]
    await ending()

    async def drain() -> None:
        async for message in stream:
            read.append(message)  # noqa: PERF401 - what was read before the error counts

    with pytest.raises(DatabaseError, match=NEEDED) as caught:
        await drain()
    assert caught.value.__cause__ is None
    return len(read)


@pytest.mark.parametrize("streamed", [prices, purchases])
@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
async def test_the_end_of_a_sessions_transaction_ends_its_stream(
    streamed: Any, ending: str, session: AsyncSession
) -> None:
    """What was fetched is given, then one error of ours; the session goes on."""
    assert await read_after(streamed(session), getattr(session, ending)) == 10
    assert len(await fetch_messages(session, select(models.Store))) == 3


@pytest.mark.parametrize("streamed", [prices, purchases])
async def test_the_end_of_a_connections_transaction_ends_its_stream(
    streamed: Any, engine: AsyncEngine
) -> None:
    """The connection goes on, and so does a transaction that it has begun since."""
    async with engine.connect() as connection:

        async def again() -> None:
            await connection.commit()
            await connection.execute(text("SELECT 1"))

        assert await read_after(streamed(connection), again) == 10
        assert len(await fetch_messages(connection, select(models.Store))) == 3


async def test_who_has_the_connection_now_is_left_alone(filled: Filled) -> None:
    """Another session's transaction on the same connection is not made to fail."""
    engine = async_engine(filled.settings, pool_size=1, max_overflow=0)
    async with begun(engine) as session, AsyncSession(engine) as other:

        async def hand_over() -> None:
            await session.commit()
            await other.execute(text("CREATE TEMPORARY TABLE mine () ON COMMIT DROP"))

        await read_after(prices(session), hand_over)
        await other.execute(text("SELECT * FROM mine"))
    await engine.dispose()


async def test_a_rollback_behind_its_beginning_ends_a_stream(session: AsyncSession) -> None:
    """A cursor goes with the savepoint that it was opened in, and stays with one after it."""
    savepoint = await session.begin_nested()
    await read_after(prices(session), savepoint.rollback)
    await session.rollback()
    read = 0
    async for _ in prices(session):
        later = await session.begin_nested()
        await later.rollback()
        read += 1
        if read == 50:
            break
    assert read == 50


async def test_a_stream_without_a_transaction_is_refused(engine: AsyncEngine) -> None:
    """Where each statement commits by itself a cursor has nothing to live in."""
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        with pytest.raises(DatabaseError, match=NEEDED):
            await anext(prices(alone))
