from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.purchase.v1 import Purchase
from cartsnitch.type.v1 import Money
from cartsnitch_common.config import Settings
from cartsnitch_common.convert import copy_messages, fetch_messages, to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine
from cartsnitch_common.errors import (
    ConstraintViolationError,
    DatabaseUnavailableError,
    InvalidFieldError,
    ReadOnlyError,
    TimeLimitError,
)
from cartsnitch_common.values.ids import new_uuid
from tests.integration.convert.conftest import Filled

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

DAY = {"year": 2026, "month": 3, "day": 10}


@pytest.fixture
async def session(filled: Filled) -> Any:
    """A session on the filled database, whose work is never kept."""
    engine = async_engine(filled.settings)
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session
        await session.rollback()
    await engine.dispose()


def dollars(units: int, nanos: int = 0) -> Money:
    return Money(currency_code="USD", units=units, nanos=nanos)


def observations(filled: Filled, many: int) -> list[PriceObservation]:
    return [
        PriceObservation(
            id=str(new_uuid()),
            normalized_product_id=filled.messages[models.NormalizedProduct][0].id,
            store_id=filled.messages[models.Store][0].id,
            observed_date=DAY,
            regular_price=dollars(number % 90, 990_000_000),
            source=2,
        )
        for number in range(many)
    ]


async def count(session: AsyncSession, model: type[models.Base] = models.PriceHistory) -> int:
    return await session.scalar(select(func.count()).select_from(model)) or 0


async def test_a_broken_message_is_named_by_its_place_and_nothing_is_written(
    filled: Filled, session: AsyncSession
) -> None:
    """One error with index and path; what came before is undone, and the transaction goes on."""
    before = await count(session)
    session.add(models.NormalizedProduct(canonical_name="stays"))
    messages = observations(filled, 25_000)
    messages[20_123].regular_price.nanos = 1
    with pytest.raises(InvalidFieldError) as caught:
        await copy_messages(session, messages)
    assert caught.value.field == "messages[20123].regular_price"
    assert caught.value.rule_id == "money.price"
    assert await count(session) == before
    stays = select(models.NormalizedProduct).where(
        models.NormalizedProduct.canonical_name == "stays"
    )
    assert len((await session.scalars(stays)).all()) == 1
    assert await copy_messages(session, messages[:100]) == 100
    assert await count(session) == before + 100


async def test_a_missing_parent_is_the_constraints_error(
    filled: Filled, session: AsyncSession
) -> None:
    """The constraint is named; no value is, neither in the error nor in what it came from."""
    before = await count(session)
    messages = observations(filled, 3)
    nobody = str(new_uuid())
    messages[1].normalized_product_id = nobody
    with pytest.raises(ConstraintViolationError) as caught:
        await copy_messages(session, messages)
    assert caught.value.constraint == "fk_price_history_normalized_product_id"
    assert nobody not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert await count(session) == before


async def test_a_duplicate_is_the_constraints_error(filled: Filled, session: AsyncSession) -> None:
    """A key that is there already: the primary key is named, the transaction goes on."""
    messages = observations(filled, 2)
    messages[1].id = messages[0].id
    with pytest.raises(ConstraintViolationError) as caught:
        await copy_messages(session, messages)
    assert caught.value.constraint == "pk_price_history"
    assert await copy_messages(session, messages[:1]) == 1


async def test_a_message_without_a_table_is_refused(session: AsyncSession) -> None:
    """A value type is no aggregate."""
    with pytest.raises(TypeError, match="Money has no table"):
        await copy_messages(session, [Money()])


async def test_nothing_is_nothing(session: AsyncSession) -> None:
    """No message, no SQL, no error."""
    assert await copy_messages(session, []) == 0


async def test_an_asynchronous_source_that_fails_leaves_nothing(
    filled: Filled, session: AsyncSession
) -> None:
    """The source's own error comes through; what it gave before is undone."""
    before = await count(session)

    async def source() -> AsyncIterator[PriceObservation]:
        for message in observations(filled, 12_000):
            yield message
        raise LookupError("the source ended")

    with pytest.raises(LookupError):
        await copy_messages(session, source())
    assert await count(session) == before


async def test_a_copy_that_may_only_read_is_told_so(filled: Filled) -> None:
    """As any statement of such a session, and the pool keeps its connection."""
    engine = async_engine(filled.settings, pool_size=1, max_overflow=0)
    reading = engine.execution_options(postgresql_readonly=True)
    async with AsyncSession(reading) as session:
        pid = await session.scalar(text("SELECT pg_backend_pid()"))
        with pytest.raises(ReadOnlyError):
            await copy_messages(session, observations(filled, 10))
        await session.rollback()
        assert await session.scalar(text("SELECT pg_backend_pid()")) == pid
    await engine.dispose()


async def test_the_engine_hears_what_a_copy_meets(filled: Filled, cartsnitch_database: str) -> None:
    """A server that has become one that only reads is left by the whole pool."""
    engine = async_engine(Settings.load(database_url=cartsnitch_database), pool_size=2)
    async with engine.connect() as one, engine.connect() as other:
        pids = {await each.scalar(text("SELECT pg_backend_pid()")) for each in (one, other)}
    async with AsyncSession(engine) as session:
        await session.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DatabaseUnavailableError):
            await copy_messages(session, observations(filled, 10))
    async with engine.connect() as one, engine.connect() as other:
        now = {await each.scalar(text("SELECT pg_backend_pid()")) for each in (one, other)}
    assert not pids & now
    await engine.dispose()


async def test_a_rollback_takes_the_copied_rows_back(filled: Filled, session: AsyncSession) -> None:
    """COPY is part of the caller's transaction."""
    before = await count(session)
    assert await copy_messages(session, observations(filled, 10)) == 10
    assert await count(session) == before + 10
    await session.rollback()
    assert await count(session) == before


def purchase(filled: Filled, items: int) -> Purchase:
    made = to_message(models.Purchase(**filled.rows[models.Purchase][0]))
    made.id, made.receipt_id = str(new_uuid()), str(new_uuid())
    line = filled.messages[models.PurchaseItem][0]
    for _ in range(items):
        item = made.items.add()
        item.CopyFrom(line)
        item.id, item.purchase_id = str(new_uuid()), made.id
    return made


async def test_purchases_bring_their_items(filled: Filled, session: AsyncSession) -> None:
    """Both tables are filled, and one more query brings the items back in their order."""
    purchases = [purchase(filled, items) for items in (0, 1, 20)] * 1
    assert await copy_messages(session, purchases) == 3
    ids = [one.id for one in purchases]
    statement = (
        select(models.Purchase).where(models.Purchase.id.in_(ids)).order_by(models.Purchase.id)
    )
    assert await fetch_messages(session, statement, with_items=True) == purchases
    bare = await fetch_messages(session, statement)
    assert [len(one.items) for one in bare] == [0, 0, 0]


async def test_a_time_limit_ends_a_copy_too(filled: Filled) -> None:
    """The statement's timeout holds, and its error is ours."""
    settings = filled.settings.model_copy(update={"database_statement_timeout": 0.02})
    engine = async_engine(settings)
    async with AsyncSession(engine) as session:
        with pytest.raises(TimeLimitError):
            await copy_messages(session, observations(filled, 10_000))
        await session.rollback()
    await engine.dispose()


async def test_a_cancelled_copy_leaves_the_connection_usable(
    filled: Filled, session: AsyncSession
) -> None:
    """A task that is cancelled in the midst writes nothing, and the session goes on."""
    before = await count(session)
    copying = asyncio.create_task(copy_messages(session, observations(filled, 20_000)))
    await asyncio.sleep(0.05)
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    await session.rollback()
    assert await count(session) == before
