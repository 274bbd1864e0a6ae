"""Receipt lines and the products that they mean, out of a file, and how many find theirs."""

from __future__ import annotations

import decimal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import psycopg

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.product_names import find_products_by_name
from tests.integration.queries.products import add_product, number

_DATA = Path(__file__).parents[2] / "data"


class Line(NamedTuple):
    """What a receipt prints, and the number of the product that it means."""

    text: str
    product: int | None


class Hits(NamedTuple):
    """What became of the lines of a file."""

    precision: float
    """Of the lines that found a product, how many found the right one."""
    recall: float
    """Of the lines that mean a product, how many found it."""


def write_products(database: str, name: str, *, lines: int, products: int) -> list[Line]:
    """Write the products of a file, which has so many, and give its lines."""
    found: list[Line] = []
    written, current = 0, None
    with psycopg.connect(database) as connection:
        for entry in (_DATA / name).read_text().splitlines():
            if entry.startswith("  "):
                found.append(Line(entry[5:], current))
            elif entry == "none":
                current = None
            elif not entry.startswith("#"):
                current, written = written, written + 1
                brand, title, size, unit = entry.split(" | ")
                texts = {"brand": brand, "canonical_name": title, "size": size, "size_unit": unit}
                add_product(connection, current, **texts)
    assert (len(found), written) == (lines, products)
    return found


async def hits(
    database: str, lines: Iterable[Line], prepare: Callable[[str], str], min_score: str
) -> Hits:
    """Look for the best product of each line."""
    right = answered = meant = 0
    engine = async_engine(Settings.load(database_url=database))
    async with async_sessions(engine)() as session:
        for line in lines:
            matches = await find_products_by_name(
                session, prepare(line.text), min_score=decimal.Decimal(min_score), limit=1
            )
            answered += len(matches)
            if line.product is not None:
                meant += 1
                right += [match.product.id for match in matches] == [number(line.product)]
    await engine.dispose()
    return Hits(right / answered, right / meant)
