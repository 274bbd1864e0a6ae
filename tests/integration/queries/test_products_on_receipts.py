"""How well receipt lines find their product: 200 lines against 184 products, many of them near."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cartsnitch_common.values.receipt_words import spell_out
from tests.integration.queries.receipt_lines import Line, hits, write_products


@pytest.fixture(scope="module")
def lines(shared_database: str) -> list[Line]:
    """The lines, each with the number of its product; the products are written."""
    return write_products(shared_database, "receipt_lines.txt", lines=200, products=184)


@pytest.mark.parametrize(
    ("prepare", "min_score", "precision", "recall"),
    [
        (str, "0.75", 0.98, 0.28),
        (str, "0.5", 0.94, 0.73),
        (str, "0.3", 0.94, 0.90),
        (spell_out, "0.75", 0.99, 0.65),
        (spell_out, "0.5", 0.98, 0.97),
        (spell_out, "0.3", 0.98, 0.98),
    ],
)
async def test_receipt_lines_find_their_product(
    shared_database: str,
    lines: list[Line],
    prepare: Callable[[str], str],
    min_score: str,
    precision: float,
    recall: float,
) -> None:
    """Of the best matches so many are right, and so many lines that have a product find it.

    As printed, and with the words spelled out that receipts cut short. These lines were known
    when the list of such words was made.
    """
    found = await hits(shared_database, lines, prepare, min_score)
    assert found.precision >= precision, found
    assert found.recall >= recall, found
