"""Receipt lines whose author had not seen the software: 100 lines against 90 products.

Nearly every word of them is cut short, and each in its own way.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cartsnitch_common.values.receipt_words import spell_out
from tests.integration.queries.receipt_lines import Line, hits, write_products


@pytest.fixture(scope="module")
def lines(shared_database: str) -> list[Line]:
    """The lines, each with the number of its product; the products are written."""
    return write_products(shared_database, "receipt_lines_unseen.txt", lines=100, products=90)


@pytest.mark.parametrize(
    ("prepare", "min_score", "recall"),
    [(str, "0.5", 0.02), (str, "0.3", 0.05), (spell_out, "0.5", 0.10), (spell_out, "0.3", 0.21)],
)
async def test_lines_that_are_cut_short_find_little_and_nothing_wrong(
    shared_database: str,
    lines: list[Line],
    prepare: Callable[[str], str],
    min_score: str,
    recall: float,
) -> None:
    """What shares too few whole words with a product finds none, rather than another."""
    found = await hits(shared_database, lines, prepare, min_score)
    assert found.precision == 1, found
    assert found.recall >= recall, found
