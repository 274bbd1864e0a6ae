"""Numbers of rows that no column could hold, and a thread that reckons with few digits."""

from __future__ import annotations

import decimal
import time
from typing import Any

import pytest

from cartsnitch_common.convert import from_message, to_message
from cartsnitch_common.convert.registry import mapping_of_row
from cartsnitch_common.db import models
from cartsnitch_common.errors import UnmappableValueError
from tests.volume import Volume

D = decimal.Decimal
ROWS: dict[Any, Any] = dict(Volume("numbers").tables(30))
FEW_DIGITS = decimal.Context(prec=1, Emin=-1, Emax=1, traps=list(decimal.Context().flags))


@pytest.mark.parametrize("number", [D("1E+999999999"), D("-1E-999999999"), D("1E+30")], ids=str)
@pytest.mark.parametrize(
    ("model", "column"),
    [
        (models.PriceHistory, "regular_price"),
        (models.Purchase, "total"),
        (models.PurchaseItem, "quantity"),
        (models.ShrinkflationEvent, "confidence"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_number_of_any_exponent_is_the_fields_error(
    model: Any, column: str, number: decimal.Decimal
) -> None:
    """It is named, and neither shown nor written out: a gigabyte of zeros took seconds."""
    began = time.process_time()
    with pytest.raises(UnmappableValueError) as caught:
        to_message(model(**ROWS[model][0] | {column: number}))
    assert time.process_time() - began < 1
    assert caught.value.field == column
    assert len(caught.value.reason) < 80
    assert "00000" not in str(caught.value)


@pytest.mark.parametrize("model", ROWS, ids=lambda one: one.__name__)
def test_the_threads_context_changes_no_conversion(model: Any) -> None:
    """Rows to messages, back, and into COPY: the program's precision and traps are its own."""
    with decimal.localcontext(FEW_DIGITS):
        messages = [to_message(model(**values)) for values in ROWS[model]]
        rows = [from_message(message) for message in messages]
        copied = [mapping_of_row(model).copy_row(message) for message in messages]
    assert [to_message(row) for row in rows] == messages
    for row, values in zip(rows, ROWS[model], strict=True):
        assert {name: getattr(row, name) for name in values} == values
    assert [mapping_of_row(model).copy_row(message) for message in messages] == copied
