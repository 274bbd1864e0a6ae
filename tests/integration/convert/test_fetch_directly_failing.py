"""What goes past SQLAlchemy's execution fails as there: one error, and no connection lost."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any

import asyncpg
import pytest
from sqlalchemy import (
    Float,
    Integer,
    MetaData,
    Text,
    bindparam,
    cast,
    event,
    func,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError, InvalidRequestError, PendingRollbackError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import aliased

from cartsnitch_common.convert import fetch_messages
from cartsnitch_common.convert.direct import raise_theirs
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.db.models import Store
from cartsnitch_common.errors import (
    ConstraintViolationError,
    DatabaseUnavailableError,
    DataRefusedError,
    ReadOnlyError,
    TimeLimitError,
    TransactionAbortedError,
)
from tests.integration.convert.conftest import Filled
from tests.integration.convert.kept import begun, kept
from tests.integration.engine.either import states, until

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

CANARY = "canary@example.com"


async def test_a_value_that_is_missing_or_unfit_is_refused_as_ever(either: AsyncEngine) -> None:
    """The error is the same whichever way the statement goes."""
    slug = select(Store).where(Store.slug == bindparam("slug"))
    async with begun(either) as session:
        await kept(session, slug, {"slug": "meijer"})
        assert await fetch_messages(session, slug, {"slug": "meijer", "unknown": 1})
        with pytest.raises(StatementError, match="required for bind parameter 'slug'"):
            await fetch_messages(session, slug)
        with pytest.raises(DataRefusedError):
            await fetch_messages(session, slug, {"slug": 5})
        # The driver refused it before the server saw it: the transaction goes on.
        assert await fetch_messages(session, slug, {"slug": "meijer"})


async def test_what_the_server_refuses_shows_no_value(either: AsyncEngine) -> None:
    """The error is ours, listeners hear of the driver's, and no cause quotes the value."""
    number = select(Store).where(cast(bindparam("text", type_=Text), Integer) == 1)
    heard: list[Any] = []
    event.listen(either.sync_engine, "handle_error", heard.append)
    async with begun(either) as session:
        await kept(session, number, {"text": "1"})
        with pytest.raises(DataRefusedError) as caught:
            await fetch_messages(session, number, {"text": CANARY})
        with pytest.raises(DBAPIError, match="transaction is aborted"):
            await fetch_messages(session, number, {"text": "1"})
        await session.rollback()
        await kept(session, number, {"text": "1"})
    assert caught.value.sqlstate == "22P02"
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert [type(each.sqlalchemy_exception).__name__ for each in heard] == ["DBAPIError"] * 2
    assert not any(each.is_disconnect for each in heard)


async def test_a_time_limit_is_ours_and_the_session_goes_on(either: AsyncEngine) -> None:
    """What the server stops is a TimeLimitError, and the connection is kept."""
    slow = (
        select(Store).where(func.pg_sleep(bindparam("seconds", type_=Float)).is_not(None)).limit(1)
    )
    async with begun(either) as session:
        await kept(session, slow, {"seconds": 0})
        await session.execute(text("SET LOCAL statement_timeout = 100"))
        with pytest.raises(TimeLimitError):
            await fetch_messages(session, slow, {"seconds": 2})
        assert not (await session.connection()).invalidated
        await session.rollback()
        assert len(await fetch_messages(session, slow, {"seconds": 0})) == 1


async def test_a_lost_connection_is_given_up(either: AsyncEngine) -> None:
    """The error says so, the pool forgets the connection, and the next transaction has another."""
    async with begun(either) as session, begun(either) as other:
        statement = await kept(session)
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        await other.execute(text("SELECT pg_terminate_backend(:pid, 2000)"), {"pid": pid})
        await other.rollback()
        with pytest.raises(DatabaseUnavailableError):
            await fetch_messages(session, statement)
        assert (await session.connection()).invalidated
        with pytest.raises(PendingRollbackError):
            await fetch_messages(session, statement)
        await session.rollback()
        await kept(session)
        assert len(await fetch_messages(session, statement)) == 1
        assert await session.scalar(text("SELECT pg_backend_pid()")) != pid


async def test_a_connection_that_breaks_off_is_no_error_of_a_statement(filled: Filled) -> None:
    """What is no error of the driver is not wrapped in one, and the connection is given up."""
    engine = async_engine(filled.settings, driver_errors=True)
    async with begun(engine) as session:
        connection = await session.connection()
        with pytest.raises(ConnectionResetError):
            await session.run_sync(
                raise_theirs, connection.sync_connection, "SELECT 1", ConnectionResetError()
            )
        assert connection.invalidated
        await session.rollback()
    await engine.dispose()


async def test_a_cancelled_task_leaves_no_connection_behind(
    filled: Filled, either: AsyncEngine
) -> None:
    """Its connection is given up, as SQLAlchemy gives up every one in the midst of an answer."""
    slow = (
        select(Store).where(func.pg_sleep(bindparam("seconds", type_=Float)).is_not(None)).limit(1)
    )
    url = filled.settings.require_database_url()
    for pause in (0.0, 0.001, None):
        # A request to cancel that overtakes its statement is lost: then that ends by itself.
        seconds = 1 if pause is not None else 20
        async with begun(either) as session:
            await kept(session, slow, {"seconds": 0})
            task = asyncio.create_task(fetch_messages(session, slow, {"seconds": seconds}))
            if pause is None:
                await until(lambda: "active" in states(url))
            else:
                await asyncio.sleep(pause)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert pause == 0.0 or (await session.connection()).invalidated
            await session.rollback()
            assert len(await fetch_messages(session, slow, {"seconds": 0})) == 1
    assert either.pool.checkedout() == 0  # type: ignore[attr-defined]
    await until(lambda: "active" not in states(url))


async def test_tasks_on_one_session_take_turns(either: AsyncEngine) -> None:
    """SQLAlchemy's own lock is held, so that nobody meets a connection that is busy."""
    async with begun(either) as session:
        statement = await kept(session)
        found = await asyncio.gather(
            *(fetch_messages(session, statement) for _ in range(5)),
            session.scalar(text("SELECT 1")),
            *(fetch_messages(session, statement) for _ in range(5)),
        )
    assert found[5] == 1
    assert all(each == found[0] for place, each in enumerate(found) if place != 5)


async def test_a_session_that_only_reads_is_read_directly(either: AsyncEngine) -> None:
    """Also on a replica; and what writes is refused in the same words."""
    reading = either.execution_options(postgresql_readonly=True)
    noted = select(Store).where(func.nextval(bindparam("name", type_=Text)).is_not(None)).limit(1)
    async with begun(either) as session:
        await session.execute(text("CREATE SEQUENCE IF NOT EXISTS numbers"))
        await kept(session, noted, {"name": "numbers"})
        await session.commit()
    async with begun(reading) as session:
        with pytest.raises(ReadOnlyError):
            await fetch_messages(session, noted, {"name": "numbers"})
        await session.rollback()
    async with begun(either) as session:
        await session.execute(text("DROP SEQUENCE numbers"))
        await session.commit()


async def test_a_session_that_may_not_be_used_refuses(either: AsyncEngine) -> None:
    """After a flush that failed, and in a block whose transaction has ended."""
    async with begun(either) as session:
        statement = await kept(session)
        await fetch_messages(session, statement)
        session.add(Store(name="Meijer", slug="meijer"))
        with pytest.raises(ConstraintViolationError):
            await session.flush()
        with pytest.raises(PendingRollbackError):
            await fetch_messages(session, statement)
        await session.rollback()
        await kept(session)
        async with session.begin_nested() as savepoint:
            await savepoint.rollback()
            with pytest.raises(InvalidRequestError, match="closed transaction"):
                await fetch_messages(session, statement)


async def test_a_type_that_a_migration_changes_is_one_error(
    filled: Filled, either: AsyncEngine
) -> None:
    """It is worth another try, and no other connection of the pool meets it again."""
    kinds = models.Base.metadata.tables["stores"].to_metadata(MetaData(), name="kinds")
    statement = select(aliased(Store, kinds, adapt_on_names=True))
    driver = await asyncpg.connect(filled.settings.require_database_url())
    await driver.execute("CREATE TABLE kinds AS SELECT * FROM stores")
    try:
        async with begun(either) as session, begun(either) as other:
            for each in (session, other):
                await kept(each, statement)
                assert len(await fetch_messages(each, statement)) == 3
                await each.rollback()
        await driver.execute("ALTER TABLE kinds ALTER COLUMN name TYPE text")
        async with begun(either) as session:
            with pytest.raises(TransactionAbortedError):
                await fetch_messages(session, statement)
        async with begun(either) as session, begun(either) as other:
            for each in (session, other):
                assert len(await fetch_messages(each, statement)) == 3
    finally:
        await driver.execute("DROP TABLE kinds")
        await driver.close()
