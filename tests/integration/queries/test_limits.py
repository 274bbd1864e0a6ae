"""How many rows a page may have: one rule, whichever query it is."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.coupons import active_coupons, select_active_coupons
from cartsnitch_common.db.queries.increases import price_increases, select_price_increases
from cartsnitch_common.db.queries.prices import (
    current_prices,
    price_history,
    select_current_prices,
    select_price_history,
)
from cartsnitch_common.db.queries.product_names import (
    ask_products_by_name,
    find_products_by_name,
    select_products_by_name,
)
from cartsnitch_common.db.queries.purchases import purchases_of, select_purchases
from cartsnitch_common.db.queries.sizes import list_sizes, select_size_history
from cartsnitch_common.errors import InvalidFieldError

DAY = dt.date(2026, 3, 10)
ID = uuid.UUID(int=1)

type Ask = Callable[..., Awaitable[list[Any]]]

PAGES: list[tuple[Ask, Any]] = [
    (active_coupons, DAY),
    (price_increases, DAY),
    (price_history, ID),
    (current_prices, ID),
    (purchases_of, "user"),
    (list_sizes, ID),
    (find_products_by_name, "milk"),
]
STATEMENTS: list[tuple[Callable[..., Any], Any]] = [
    (select_active_coupons, DAY),
    (select_current_prices, ID),
    (select_price_history, ID),
    (select_price_increases, DAY),
    (select_purchases, "user"),
    (select_size_history, ID),
    (ask_products_by_name, "milk"),
    (select_products_by_name, "milk"),
]


@pytest.fixture
async def session(shared_database: str) -> AsyncIterator[AsyncSession]:
    """A session on one empty database for all: nothing is written here."""
    engine = async_engine(Settings.load(database_url=shared_database))
    async with async_sessions(engine)() as session:
        yield session
    await engine.dispose()


@pytest.mark.parametrize("limit", [0, -1, 2**31, 2**70, True, 1.0, "5"])
@pytest.mark.parametrize(("ask", "about"), PAGES)
async def test_a_page_has_a_row_or_more(
    session: AsyncSession, ask: Ask, about: Any, limit: Any
) -> None:
    """A limit that is none is named, and no statement is sent."""
    with pytest.raises(InvalidFieldError) as refused:
        await ask(session, about, limit=limit)
    assert refused.value.field == "limit"
    assert not session.in_transaction()


@pytest.mark.parametrize(("select", "about"), STATEMENTS)
def test_a_statement_of_no_row_is_refused(select: Callable[..., Any], about: Any) -> None:
    """When it is made, and not first when it runs."""
    with pytest.raises(InvalidFieldError, match="limit: must be from 1 to 2147483647"):
        select(about, limit=0)


@pytest.mark.parametrize("limit", [1, 2**31 - 1])
@pytest.mark.parametrize(("ask", "about"), PAGES)
async def test_the_shortest_and_the_longest_page_are_pages(
    session: AsyncSession, ask: Ask, about: Any, limit: int
) -> None:
    """Both ends of the rule are asked of the database, which has nothing here."""
    assert await ask(session, about, limit=limit) == []


async def test_what_may_be_read_whole_needs_no_limit(session: AsyncSession) -> None:
    """None is all rows, where that is offered."""
    assert await current_prices(session, ID, limit=None) == []
    assert await price_increases(session, DAY, limit=None) == []
