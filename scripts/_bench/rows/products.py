"""Products by code and by name, against the least there is and against plain Python."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, text

from _bench.comparison import Comparison, Direction, Sides
from _bench.databases import open_driver, open_session, product_database
from _bench.words_by_hand import words_of
from cartsnitch_common.convert import fetch_messages
from cartsnitch_common.db.models import NormalizedProduct
from cartsnitch_common.db.queries.product_codes import (
    ask_products_by_code,
    find_product_by_code,
    find_products_by_codes,
)
from cartsnitch_common.db.queries.product_names import ask_products_by_name, find_products_by_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

    import asyncpg
    from sqlalchemy.ext.asyncio import AsyncSession

    from _bench.comparison import Work
    from _bench.world import World
    from cartsnitch.catalog.v1 import NormalizedProduct as ProductMessage

MANY: Final = 1_000_000
FEW: Final = 10_000

_CALLS: Final = 200
_TIGHTEST: Final = (
    "not judged: 500 and 1,500 times this would be 0.23 and 0.72 ms, as much as one row by its key"
)
_LEAST: Final = Decimal("0.5")
_TEXTS: Final = select(
    NormalizedProduct.brand,
    NormalizedProduct.canonical_name,
    NormalizedProduct.size,
    NormalizedProduct.size_unit,
)


async def _codes(world: World, count: int) -> list[str]:
    async with open_driver(await product_database(world, count)) as driver:
        rows = await driver.fetch(
            "SELECT upc_variants ->> 0 FROM normalized_products"
            " ORDER BY hashtext(id::text) LIMIT 2000"
        )
    return [row[0] for row in rows]


def _finding(session: AsyncSession, codes: Iterator[str]) -> Work:
    async def run() -> None:
        for code in islice(codes, _CALLS):
            if await find_product_by_code(session, code) is None:
                raise LookupError(code)

    return run


def _fetching(session: AsyncSession, codes: Iterator[str]) -> Work:
    async def run() -> None:
        for code in islice(codes, _CALLS):
            if not await fetch_messages(session, *ask_products_by_code(code)):
                raise LookupError(code)

    return run


def _code_against_nothing(
    look_up: Callable[[AsyncSession, Iterator[str]], Work], *, by_driver: bool
) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        codes = cycle(await _codes(world, MANY))
        statement = text("SELECT 1")
        async with open_session(await product_database(world, MANY)) as session:
            connection = await (await session.connection()).get_raw_connection()
            driver: Any = connection.driver_connection

            async def by_session() -> None:
                for _ in range(_CALLS):
                    await session.scalar(statement)

            async def past_it() -> None:
                for _ in range(_CALLS):
                    await driver.fetch("SELECT 1")

            nothing = past_it if by_driver else by_session
            yield Sides(ours=look_up(session, codes), rival=nothing, units=_CALLS)

    return prepare


async def _code_against_few(world: World) -> AsyncIterator[Sides]:
    many, few = cycle(await _codes(world, MANY)), cycle(await _codes(world, FEW))
    async with (
        open_session(await product_database(world, MANY)) as large,
        open_session(await product_database(world, FEW)) as small,
    ):
        yield Sides(ours=_finding(large, many), rival=_finding(small, few), units=_CALLS)


async def _codes_together(world: World) -> AsyncIterator[Sides]:
    codes = (await _codes(world, MANY))[:_CALLS]
    batches = [codes[i : i + 20] for i in range(0, _CALLS, 20)]
    async with open_session(await product_database(world, MANY)) as session:

        async def together() -> None:
            for batch in batches:
                await find_products_by_codes(session, batch)

        yield Sides(ours=together, rival=_finding(session, cycle(codes)), units=len(batches))


def _best(line: str, products: Iterable[Sequence[str | None]]) -> Decimal | None:
    """Score every product by its texts: what needs no table beside the products.

    Returns:
        The best score; None without one of at least a half.
    """
    wanted = words_of(line)
    best = 0.0
    for texts in products:
        found = words_of(" ".join(text for text in texts if text))
        shared = len(wanted & found)
        score = shared / (len(wanted) + len(found) - shared)
        best = max(best, score)
    # As the database does: cut to four decimal places, for which the float is exact enough.
    return Decimal(int(best * 10_000 + 1e-9)).scaleb(-4) if best >= _LEAST else None


async def _best_of_rows(session: AsyncSession, line: str) -> Decimal | None:
    """Read products as every other code of a service does."""
    products = await session.scalars(select(NormalizedProduct))
    session.expunge_all()
    return _best(line, ((p.brand, p.canonical_name, p.size, p.size_unit) for p in products))


async def _best_of_columns(session: AsyncSession, line: str) -> Decimal | None:
    """Read no more than is scored, and make no objects of it."""
    return _best(line, (tuple(texts) for texts in await session.execute(_TEXTS)))


async def _lines(driver: asyncpg.Connection, count: int) -> list[str]:
    """Lines as receipts print them: in capitals, a word left out, another order."""
    rows = await driver.fetch(
        "SELECT canonical_name FROM normalized_products ORDER BY hashtext(id::text) LIMIT $1", count
    )
    chance = random.Random(4)  # noqa: S311 - the same lines in each run
    lines = []
    for row in rows:
        words = row[0].upper().split(" ")
        words.pop(chance.randrange(min(3, len(words) - 1)))
        lines.append(" ".join(words))
    return lines


def _name_against_scan(
    count: int, lines: int, scan: Callable[[AsyncSession, str], Awaitable[Decimal | None]]
) -> Callable[[World], AsyncIterator[Sides]]:
    async def prepare(world: World) -> AsyncIterator[Sides]:
        settings = await product_database(world, count)
        async with open_session(settings) as session, open_driver(settings) as driver:
            asked = await _lines(driver, lines)

            async def ours() -> list[list[ProductMessage]]:
                return [
                    await fetch_messages(session, *ask_products_by_name(line, limit=1))
                    for line in asked
                ]

            async def rival() -> list[Decimal | None]:
                scores = [await scan(session, line) for line in asked]
                # The loop holds the last result until its next turn: without one, to free
                # 100,000 rows would be in the time of the search that comes after.
                await asyncio.sleep(0)
                return scores

            found = [await find_products_by_name(session, line, limit=1) for line in asked]
            mine = [matches[0].score if matches else None for matches in found]
            if mine != (theirs := await rival()):
                message = f"the best scores differ: {mine} and {theirs}"
                raise AssertionError(message)
            ids = [[str(match.product.id) for match in matches] for matches in found]
            if ids != [[each.id for each in match] for match in await ours()]:
                raise AssertionError("rows and messages are of different products")
            yield Sides(ours=ours, rival=rival, units=lines)

    return prepare


ROWS = (
    *(
        Comparison(
            name=f"product by UPC among 1 million{how}",
            rival=f"SELECT 1 {rival}",
            goal=goal,
            direction=Direction.AT_MOST,
            prepare=_code_against_nothing(look_up, by_driver=by_driver),
            rounds=15,
            note=f"the code is checked, looked up in every spelling, and its row made {made}"
            + ("; the same statement by asyncpg alone takes 1.7 times this" if by_driver else ""),
        )
        for how, look_up, rival, by_driver, goal, made in (
            ("", _fetching, "on the same session", False, 2, "a message"),
            ("", _fetching, "by asyncpg, past its session", True, None, "a message"),
            (", as a row", _finding, "on the same session", False, None, "an object"),
        )
    ),
    Comparison(
        name="product by UPC among 1 million",
        rival="itself among 10,000",
        goal=1.5,
        direction=Direction.AT_MOST,
        prepare=_code_against_few,
        note="each call asks for another code",
    ),
    Comparison(
        name="the products of 20 UPCs among 1 million, one statement",
        rival="one by one",
        goal=None,
        direction=Direction.TIMES_AS_FAST,
        prepare=_codes_together,
    ),
    *(
        Comparison(
            name=f"product by name among {count:,}",
            rival=rival,
            goal=goal if scan is _best_of_rows else None,
            direction=Direction.TIMES_AS_FAST,
            prepare=_name_against_scan(count, lines, scan),
            rounds=5,
            note=note,
        )
        for count, lines, goal in ((10_000, 50, 500), (100_000, 3, 1500))
        for rival, scan, note in (
            (
                "reading all rows and scoring in Python",
                _best_of_rows,
                "messages of lines with a word left out; both sides must find the same best scores",
            ),
            (
                "the same, with bare columns and the tightest scoring we know",
                _best_of_columns,
                _TIGHTEST,
            ),
        )
    ),
)
