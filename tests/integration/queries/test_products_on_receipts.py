"""How well receipt lines find their product: 200 lines against 184 products, many of them near."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.product_names import find_products_by_name
from cartsnitch_common.values.receipt_words import spell_out
from tests.integration.queries.products import add_product, number

D = decimal.Decimal
LINES = Path(__file__).parents[2] / "data" / "receipt_lines.txt"


class Line(NamedTuple):
    """What a receipt prints, and the number of the product that it means."""

    text: str
    product: int | None


@pytest.fixture(scope="module")
def lines(shared_database: str) -> list[Line]:
    """The lines, each with the number of its product; the products are written."""
    found: list[Line] = []
    products, current = 0, None
    with psycopg.connect(shared_database) as connection:
        for entry in LINES.read_text().splitlines():
            if entry.startswith("  "):
                found.append(Line(entry[5:], current))
            elif entry == "none":
                current = None
            elif not entry.startswith("#"):
                current, products = products, products + 1
                brand, name, size, unit = entry.split(" | ")
                add_product(
                    connection, current, brand=brand, canonical_name=name, size=size, size_unit=unit
                )
    assert (len(found), products) == (200, 184)
    return found


@pytest.mark.parametrize(
    ("prepare", "threshold", "precision", "recall"),
    [
        (str, "0.75", "0.98", "0.28"),
        (str, "0.5", "0.94", "0.73"),
        (str, "0.3", "0.94", "0.90"),
        (spell_out, "0.75", "0.99", "0.65"),
        (spell_out, "0.5", "0.98", "0.97"),
        (spell_out, "0.3", "0.98", "0.98"),
    ],
)
async def test_receipt_lines_find_their_product(
    shared_database: str,
    lines: list[Line],
    prepare: Callable[[str], str],
    threshold: str,
    precision: str,
    recall: str,
) -> None:
    """Of the best matches so many are right, and so many lines that have a product find it.

    As printed, and with the words spelled out that receipts cut short.
    """
    right = answered = 0
    engine = async_engine(Settings.load(database_url=shared_database))
    async with async_sessions(engine)() as session:
        for line in lines:
            matches = await find_products_by_name(
                session, prepare(line.text), min_score=D(threshold), limit=1
            )
            answered += len(matches)
            if line.product is not None:
                right += [match.product.id for match in matches] == [number(line.product)]
    await engine.dispose()
    with_product = sum(line.product is not None for line in lines)
    assert right / answered >= float(precision), (right, answered)
    assert right / with_product >= float(recall), (right, with_product)
