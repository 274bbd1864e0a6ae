from __future__ import annotations

import gc
from typing import Any

import pytest
from sqlalchemy import bindparam, event, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased, selectinload

from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.convert import fetch_messages, stream_messages, to_message
from cartsnitch_common.convert.reading import _READY
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.errors import InvalidFieldError, TimeLimitError
from tests.integration.convert.conftest import Filled

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

PriceHistory = models.PriceHistory


@pytest.fixture
async def session(filled: Filled) -> Any:
    """A session on the filled database, whose work is never kept."""
    engine = async_engine(filled.settings)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
        await session.rollback()
    await engine.dispose()


def statements() -> dict[str, Any]:
    other = aliased(PriceHistory)
    current = aliased(PriceHistory, models.CurrentPrice.__table__, adapt_on_names=True)
    ranked = select(PriceHistory).order_by(PriceHistory.id).limit(70).subquery()
    return {
        "where": select(PriceHistory).where(PriceHistory.sale_price.is_(None)),
        "order and limit": select(PriceHistory).order_by(PriceHistory.id.desc()).limit(5).offset(3),
        "join": select(PriceHistory)
        .join(models.Store, models.Store.id == PriceHistory.store_id)
        .where(models.Store.slug == "meijer"),
        "alias": select(other).where(other.regular_price > 5),
        "another table": select(current),
        "subquery": select(aliased(PriceHistory, ranked)),
        "distinct": select(PriceHistory).distinct(),
        "nothing": select(PriceHistory).where(PriceHistory.observed_date.is_(None)),
        "bound": select(PriceHistory).filter_by(source="receipt"),
    }


@pytest.mark.parametrize("name", statements())
async def test_any_select_of_one_entity_will_do(name: str, session: AsyncSession) -> None:
    """Whatever stands around the entity: the messages are those of the ORM's rows."""
    statement = statements()[name]
    expected = [to_message(row) for row in (await session.scalars(statement)).all()]
    found = await fetch_messages(session, statement)
    streamed = [one async for one in stream_messages(session, statement, batch_size=7)]
    key = PriceObservation.SerializeToString
    assert sorted(found, key=key) == sorted(expected, key=key)
    assert sorted(streamed, key=key) == sorted(expected, key=key)
    if statement._order_by_clauses:
        assert found == expected == streamed
    assert bool(found) == (name != "nothing")


@pytest.mark.parametrize(
    "statement",
    [
        select(PriceHistory.id),
        select(PriceHistory, PriceHistory.id),
        select(func.count()),
        select(PriceHistory, models.Store),
    ],
    ids=["a column", "more than the entity", "an expression", "two entities"],
)
async def test_any_other_select_is_refused(statement: Any, session: AsyncSession) -> None:
    """What is no SELECT of one entity is an error that says so."""
    with pytest.raises(TypeError, match="one entity"):
        await fetch_messages(session, statement)


async def test_a_table_without_messages_is_refused(session: AsyncSession) -> None:
    """A helper table has no message."""
    with pytest.raises(TypeError, match="CurrentPrice has no message"):
        await fetch_messages(session, select(models.CurrentPrice))  # type: ignore[call-overload]


async def test_items_of_what_has_none_are_refused(session: AsyncSession) -> None:
    """Only purchases have items."""
    with pytest.raises(TypeError, match="only purchases"):
        await fetch_messages(session, select(models.Store), with_items=True)  # type: ignore[call-overload]


async def test_loader_options_change_nothing(session: AsyncSession) -> None:
    """A statement that would load a relationship is read as any other."""
    statement = select(models.Purchase).order_by(models.Purchase.id).limit(3)
    plain = await fetch_messages(session, statement)
    assert (
        await fetch_messages(session, statement.options(selectinload(models.Purchase.items)))
        == plain
    )


async def test_it_sees_what_the_session_has_not_flushed_yet(session: AsyncSession) -> None:
    """It runs in the session's transaction, behind a flush as every query of the session."""
    product = models.NormalizedProduct(canonical_name="Fresh Bread")
    session.add(product)
    mine = select(models.NormalizedProduct).where(
        models.NormalizedProduct.canonical_name == "Fresh Bread"
    )
    assert [one.canonical_name for one in await fetch_messages(session, mine)] == ["Fresh Bread"]
    assert [one.id async for one in stream_messages(session, mine)] == [str(product.id)]
    await session.rollback()
    assert await fetch_messages(session, mine) == []


async def test_no_row_is_made_and_nothing_more_is_asked(session: AsyncSession) -> None:
    """One statement, no object in the session."""
    seen: list[str] = []
    connection = await session.connection()

    @event.listens_for(connection.sync_connection, "before_cursor_execute")
    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    messages = await fetch_messages(session, select(PriceHistory).limit(10))
    assert len(messages) == 10
    assert len(seen) == 1
    assert not list(session.sync_session.identity_map)


async def test_a_kept_statement_is_asked_again_with_other_values(session: AsyncSession) -> None:
    """Each time it reads what its values say, from a session and from a connection."""
    statement = select(PriceHistory).where(PriceHistory.source == bindparam("source"))
    for source in ("receipt", "catalog", "receipt"):
        once = select(PriceHistory).where(PriceHistory.source == source)
        expected = sorted(message.id for message in await fetch_messages(session, once))
        assert expected
        for reader in (session, await session.connection()):
            found = await fetch_messages(reader, statement, {"source": source})
            assert sorted(message.id for message in found) == expected


async def test_what_was_made_of_a_statement_goes_with_it(session: AsyncSession) -> None:
    """A service that makes a statement for each call does not grow."""
    before = len(_READY)
    for n in range(5):
        await fetch_messages(session, select(PriceHistory).limit(n))
    gc.collect()
    assert len(_READY) <= before


@pytest.mark.parametrize("size", [0, -1])
async def test_a_stream_of_empty_batches_is_refused(session: AsyncSession, size: int) -> None:
    """It would look like a table without rows."""
    with pytest.raises(InvalidFieldError, match="batch_size"):
        await anext(stream_messages(session, select(PriceHistory), batch_size=size))


async def test_a_stream_that_is_left_early_leaves_the_session_usable(
    filled: Filled, session: AsyncSession
) -> None:
    """Leaving the loop is no error; the same transaction goes on."""
    async for message in stream_messages(session, select(PriceHistory), batch_size=10):
        assert message.id
        break
    assert len(await fetch_messages(session, select(PriceHistory))) == len(
        filled.messages[PriceHistory]
    )


async def test_two_streams_at_once_do_not_meet(session: AsyncSession) -> None:
    """Each has a cursor of its own in the one transaction."""
    ordered = select(models.Store).order_by(models.Store.id)
    pairs = [
        (one.id, other.id)
        async for one in stream_messages(session, ordered, batch_size=1)
        async for other in stream_messages(session, ordered, batch_size=1)
    ]
    assert len(set(pairs)) == 9


async def test_a_time_limit_is_ours_and_the_session_goes_on(session: AsyncSession) -> None:
    """What the server stops is a TimeLimitError, in a fetch and in a stream."""
    slow = select(PriceHistory).where(func.pg_sleep(1).is_not(None)).limit(2)
    for read in (
        lambda: fetch_messages(session, slow),
        lambda: _drained(stream_messages(session, slow)),
    ):
        await (await session.connection()).exec_driver_sql("SET LOCAL statement_timeout = 100")
        with pytest.raises(TimeLimitError):
            await read()
        await session.rollback()
    assert len(await fetch_messages(session, select(models.Store))) == 3


async def _drained(stream: Any) -> list[Any]:
    return [one async for one in stream]


async def test_purchases_stream_with_their_items(filled: Filled, session: AsyncSession) -> None:
    """Each batch brings its items by one query."""
    items: dict[str, list[str]] = {}
    for item in filled.messages[models.PurchaseItem]:
        items.setdefault(item.purchase_id, []).append(item.id)
    seen = 0
    stream = stream_messages(session, select(models.Purchase), batch_size=3000, with_items=True)
    async for purchase in stream:
        assert [item.id for item in purchase.items] == items.get(purchase.id, [])
        seen += len(purchase.items)
    assert seen == len(filled.messages[models.PurchaseItem])


async def test_it_runs_in_autocommit_too(filled: Filled) -> None:
    """A connection without a transaction can fetch; only a stream needs one."""
    engine = async_engine(filled.settings)
    async with engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        assert len(await fetch_messages(alone, select(models.Store))) == 3
    await engine.dispose()
