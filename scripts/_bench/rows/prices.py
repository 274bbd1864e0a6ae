"""Prices at 10 million rows, against fewer rows and against the history alone."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.dialects import postgresql

from _bench.comparison import Comparison, Direction, Sides
from _bench.databases import open_driver, open_session, price_database
from cartsnitch_common.db.models import PriceHistory
from cartsnitch_common.db.queries.prices import (
    latest_price,
    latest_prices,
    price_history,
    select_current_prices,
)
from cartsnitch_common.db.seed import STORES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from _bench.comparison import Work
    from _bench.world import World

    type Series = tuple[uuid.UUID, uuid.UUID]
    type Ask = Callable[[AsyncSession, Series], Awaitable[object]]

MANY: Final = 10_000_000
FEW: Final = 100_000

_CALLS: Final = 100
_STORE: Final = STORES[0].id
_LONG: Final = 50


async def _series(world: World, rows: int) -> list[Series]:
    """Series of at least a page, in an order without meaning."""
    settings = await price_database(world, rows)
    async with open_driver(settings) as driver:
        found = await driver.fetch(
            "SELECT normalized_product_id, store_id FROM price_history GROUP BY 1, 2"
            " ORDER BY count(*) < $1, md5(normalized_product_id::text || store_id::text) LIMIT $2",
            _LONG,
            2000 if rows == MANY else _CALLS // 2,
        )
    return [(uuid.UUID(bytes=a.bytes), uuid.UUID(bytes=b.bytes)) for a, b in found]


def _asking(session: AsyncSession, ask: Ask, series: Iterator[Series]) -> Work:
    async def run() -> None:
        for one in islice(series, _CALLS):
            await ask(session, one)

    return run


def _against_few(ask: Ask) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        works = []
        async with AsyncExitStack() as stack:
            for rows in (MANY, FEW):
                series = cycle(await _series(world, rows))
                settings = await price_database(world, rows)
                session = await stack.enter_async_context(open_session(settings))
                works.append(_asking(session, ask, series))
            yield Sides(ours=works[0], rival=works[1], units=_CALLS)

    return prepare


async def _ask_latest(session: AsyncSession, series: Series) -> object:
    return await latest_price(session, *series)


async def _ask_page(session: AsyncSession, series: Series) -> object:
    product, store = series
    return await price_history(session, product, store_id=store, limit=_LONG)


def _sql(query: Select[Any]) -> str:
    """A statement without parameters, for the driver alone."""
    # SQLAlchemy has not annotated it.
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(compiled)


_DISTINCT: Final = """
    SELECT DISTINCT ON (normalized_product_id) * FROM price_history WHERE store_id = '{}'
     ORDER BY normalized_product_id, observed_date DESC, id DESC"""
_LATERAL: Final = """
    SELECT latest.* FROM normalized_products AS product CROSS JOIN LATERAL (
           SELECT * FROM price_history AS price
            WHERE price.normalized_product_id = product.id AND price.store_id = '{}'
            ORDER BY price.observed_date DESC, price.id DESC LIMIT 1) AS latest
     ORDER BY normalized_product_id"""


def _whole_store(rival: str) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        ours, theirs = _sql(select_current_prices(_STORE)), rival.format(_STORE)
        async with open_driver(await price_database(world, MANY)) as driver:
            mine = {row["id"] for row in await driver.fetch(ours)}
            if mine != {row["id"] for row in await driver.fetch(theirs)}:
                message = "the two sides found different prices"
                raise AssertionError(message)
            yield Sides(ours=lambda: driver.fetch(ours), rival=lambda: driver.fetch(theirs))

    return prepare


async def _twenty(world: World) -> AsyncIterator[Sides]:
    series = await _series(world, MANY)
    batches = [[product for product, _ in series[i : i + 20]] for i in range(0, 400, 20)]
    async with open_session(await price_database(world, MANY)) as session:

        async def ours() -> None:
            for products in batches:
                await latest_prices(session, products, store_id=_STORE)

        async def rival() -> None:
            for products in batches:
                for product in products:
                    await session.scalar(
                        select(PriceHistory)
                        .where(
                            PriceHistory.normalized_product_id == product,
                            PriceHistory.store_id == _STORE,
                        )
                        .order_by(PriceHistory.observed_date.desc(), PriceHistory.id.desc())
                        .limit(1)
                    )

        yield Sides(ours=ours, rival=rival, units=len(batches))


ROWS = (
    Comparison(
        name="latest price among 10 million",
        rival="itself among 100,000",
        goal=1.5,
        direction=Direction.AT_MOST,
        prepare=_against_few(_ask_latest),
        note="each call asks for another series; among 100,000 rows only some 60 are long",
    ),
    Comparison(
        name="a page of 50 of a product's history among 10 million",
        rival="itself among 100,000",
        goal=1.5,
        direction=Direction.AT_MOST,
        prepare=_against_few(_ask_page),
        note="each call asks for another series; among 100,000 rows only some 60 are long",
    ),
    Comparison(
        name="twenty latest prices among 10 million, one statement",
        rival="twenty statements through the ORM",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_twenty,
    ),
    Comparison(
        name="current prices of a whole store, 10 million rows",
        rival="DISTINCT ON over the history",
        goal=50,
        direction=Direction.TIMES_AS_FAST,
        prepare=_whole_store(_DISTINCT),
        rounds=5,
        note="rows as asyncpg hands them over, the same 20,000 on both sides",
    ),
    Comparison(
        name="current prices of a whole store, 10 million rows",
        rival="one LATERAL for each product",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_whole_store(_LATERAL),
        note="the better query by hand: no table of current prices, and no scan of the history",
    ),
)
