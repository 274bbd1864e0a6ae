"""A kept statement goes past SQLAlchemy's execution, and nobody can tell but by the time."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import (
    Text,
    bindparam,
    cast,
    event,
    select,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.convert import fetch_messages
from cartsnitch_common.db import models
from cartsnitch_common.db.models import Store
from tests.integration.convert.kept import begun, kept, stores
from tests.integration.convert.test_fetch import statements

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

LISTENED = ("before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute")


@pytest.mark.parametrize("name", statements())
async def test_the_messages_are_the_same(
    name: str, session: AsyncSession, directly: list[str]
) -> None:
    """Whatever the statement: the second time it is the driver's, with the same messages."""
    statement = statements()[name]
    first = await fetch_messages(session, statement)
    assert not directly
    second = await fetch_messages(session, statement)
    assert len(directly) == 1
    key = PriceObservation.SerializeToString
    assert sorted(second, key=key) == sorted(first, key=key)


async def test_values_are_made_ready_as_sqlalchemy_does(
    session: AsyncSession, directly: list[str]
) -> None:
    """Text, an id, a date, an instant, an enum, numbers and JSON, given or the statement's own."""
    products, prices = models.NormalizedProduct, models.PriceHistory
    for column in (
        products.canonical_name,
        products.upc_variants,
        prices.id,
        prices.observed_date,
        Store.created_at,
        prices.regular_price,
        prices.source,
    ):
        model = column.class_
        row = await session.scalar(select(model).order_by(model.id).limit(1))
        value = getattr(row, column.key)
        given = select(model).where(column == bindparam("value", type_=column.type))
        for statement, values in (
            (select(model).where(column == value), None),
            (given, {"value": value}),
        ):
            await kept(session, statement, values)
            before = len(directly)
            found: list[Any] = await fetch_messages(session, statement, values)
            assert str(row.id) in {one.id for one in found}
            assert len(directly) == before + 1


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *((place, name) for place in ("engine", "connection") for name in LISTENED),
        ("engine", "do_execute"),
    ],
)
async def test_who_listens_misses_nothing(
    place: str, name: str, engine: AsyncEngine, session: AsyncSession, directly: list[str]
) -> None:
    """A tracer that listens to an engine or a connection, also from later on, hears every one."""
    statement = await kept(session)
    target = (
        engine.sync_engine if place == "engine" else (await session.connection()).sync_connection
    )
    seen: list[Any] = []
    event.listen(target, name, lambda *args: seen.append(args))
    assert len(await fetch_messages(session, statement)) == 1
    assert len(seen) == 1
    assert not directly


async def test_a_log_of_statements_misses_nothing(
    engine: AsyncEngine, caplog: pytest.LogCaptureFixture, directly: list[str]
) -> None:
    """Where SQLAlchemy logs what it executes, it executes everything."""
    with caplog.at_level(logging.INFO, "sqlalchemy.engine"):
        async with begun(engine) as session:
            statement = await kept(session)
            caplog.clear()
            await fetch_messages(session, statement)
    assert "stores" in caplog.text
    assert not directly


async def test_what_is_not_flushed_yet_is_seen(session: AsyncSession, directly: list[str]) -> None:
    """A flush comes before, as before every query of the session, and not without autoflush."""
    products = models.NormalizedProduct
    statement = await kept(session, select(products).where(products.brand == "Unheard Of"))
    row = products(canonical_name="Bread", brand="Unheard Of")
    session.add(row)
    with session.no_autoflush:
        assert await fetch_messages(session, statement) == []
    assert len(directly) == 1
    found: Any
    (found,) = await fetch_messages(session, statement)
    assert found.canonical_name == "Bread"
    row.canonical_name = "Fresh Bread"
    (found,) = await fetch_messages(session, statement)
    assert found.canonical_name == "Fresh Bread"
    await session.delete(row)
    assert await fetch_messages(session, statement) == []
    assert len(directly) == 1
    assert await fetch_messages(session, statement) == []
    assert len(directly) == 2


async def test_a_transaction_is_begun_by_sqlalchemy(
    engine: AsyncEngine, directly: list[str]
) -> None:
    """A session's first statement begins its transaction, and with it the limit of time."""
    limit = text("SELECT current_setting('statement_timeout')")
    async with AsyncSession(engine) as session:
        statement = await kept(session)
        await fetch_messages(session, statement)
        assert len(directly) == 1
        await session.rollback()
        await fetch_messages(session, statement)
        assert len(directly) == 1
        await fetch_messages(session, statement)
        assert len(directly) == 2
        assert await session.scalar(limit) != "0"


async def test_doubtful_statements_are_left_to_sqlalchemy(
    engine: AsyncEngine, session: AsyncSession, directly: list[str]
) -> None:
    """Lists of unknown length, values that are asked for, options, savepoints, connections."""
    slugs = select(Store).where(cast(Store.slug, Text).in_(bindparam("slugs", expanding=True)))
    asked = iter(["meijer", "kroger", "target"])
    callable_ = select(Store).where(
        Store.slug == bindparam("slug", callable_=lambda: next(asked), type_=Text)
    )
    literal = select(Store).where(Store.slug == bindparam("slug", "meijer", literal_execute=True))
    optioned = stores().execution_options(mine=1)
    for statement, values in (
        (slugs, {"slugs": ["meijer"]}),
        (slugs, {"slugs": ["meijer", "kroger"]}),
        (callable_, None),
        (literal, None),
        (optioned, None),
    ):
        assert await fetch_messages(session, statement, values)
        assert len(await fetch_messages(session, statement, values)) == len(
            (values or {}).get("slugs", "1")
        )
    statement = await kept(session)
    async with session.begin_nested():
        assert await fetch_messages(session, statement)
    connection = await session.connection()
    assert await fetch_messages(connection, statement)
    await session.rollback()
    renamed = engine.execution_options(schema_translate_map={None: "elsewhere"})
    async with begun(renamed) as other:
        with pytest.raises(DBAPIError, match="elsewhere"):
            await fetch_messages(other, statement)
    async with (
        engine.begin() as outer,
        AsyncSession(outer, join_transaction_mode="create_savepoint") as other,
    ):
        await kept(other, statement)
        assert await fetch_messages(other, statement)
    alone = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with begun(alone) as other:
        assert await fetch_messages(other, statement)
    assert not directly
