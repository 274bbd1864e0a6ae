"""10,000 rows a table: whatever way a row takes, it is the same message."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.convert import (
    MAPPINGS,
    copy_messages,
    fetch_messages,
    from_message,
    stream_messages,
    to_message,
)
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine
from tests.integration.convert.conftest import SIZE, Filled

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

BY_ORM = 1000
# asyncpg sends these as infinity, which the tables refuse: there COPY stores more than the ORM.
AT_THE_ENDS = {
    *(dt.date.min, dt.date.max),
    *(dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)),
}

of_every_table = pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda one: one.row.__name__)


@pytest.fixture
async def session(filled: Filled) -> Any:
    engine = async_engine(filled.settings)
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


@of_every_table
async def test_what_was_copied_is_what_was_made(
    mapping: Any, filled: Filled, session: AsyncSession
) -> None:
    """The ORM reads from a table the very values that the messages were made of."""
    rows = (await session.scalars(select(mapping.row))).all()
    assert len(rows) == (3 if mapping.row is models.Store else SIZE)
    found = sorted(rows, key=lambda row: str(row.id))
    for row, values in zip(found, filled.rows[mapping.row], strict=True):
        assert {name: getattr(row, name) for name in values} == values
        for name, value in values.items():
            assert isinstance(getattr(row, name), type(value) if value is not None else type(None))


@of_every_table
async def test_rows_fetched_and_streamed_are_equal(
    mapping: Any, filled: Filled, session: AsyncSession
) -> None:
    """A row by the ORM, a fetch and a stream give one message; all are what was sent."""
    sent = filled.messages[mapping.row]
    rows = await session.scalars(select(mapping.row))
    fetched = await fetch_messages(session, select(mapping.row))
    streamed = [one async for one in stream_messages(session, select(mapping.row), batch_size=999)]
    by_id = {one.id: one for one in sent}
    for messages in (map(to_message, rows), fetched, streamed):
        found = list(messages)
        assert len(found) == len(sent)
        assert all(by_id[one.id] == one for one in found)
        assert len({one.SerializeToString() for one in found}) == len(sent)


def _scalars(message: Any) -> set[Any]:
    values = vars(from_message(message)).values()
    return {value for value in values if isinstance(value, dt.date)}


@of_every_table
async def test_a_row_of_a_message_is_a_copied_one(
    mapping: Any, filled: Filled, session: AsyncSession
) -> None:
    """from_message and the ORM's INSERT store what COPY stores, to the last byte of the row."""
    table = mapping.row.__table__
    sent = filled.messages[mapping.row]
    chosen = [one for one in sent if not AT_THE_ENDS & _scalars(one)]
    chosen = chosen[:BY_ORM]
    assert len(chosen) == min(BY_ORM, len(sent)) or mapping.row is models.Store
    ids = [from_message(one).id for one in chosen]
    whole = select(table.c.id, func.row_to_json(table.table_valued())).where(table.c.id.in_(ids))
    copied = dict((await session.execute(whole)).all())
    connection = await session.connection()
    await connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
    await session.execute(table.delete().where(table.c.id.in_(ids)))
    session.add_all([from_message(one) for one in chosen])
    await session.flush()
    assert dict((await session.execute(whole)).all()) == copied
    await session.execute(table.delete().where(table.c.id.in_(ids)))
    assert await copy_messages(session, chosen) == len(chosen)
    assert dict((await session.execute(whole)).all()) == copied
    await session.rollback()
