from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.catalog.v1 import StoreLocation
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.purchase.v1 import Receipt
from cartsnitch_common.contract import check, from_json, to_json
from cartsnitch_common.errors import CartsnitchError, InvalidFieldError, NotJsonError

RECEIPT: dict[str, Any] = {
    "store": "STORE_SLUG_MEIJER",
    "purchase": {
        "userId": "demo-user",
        "receiptId": "042-1",
        "purchaseDate": {"year": 2026, "month": 3, "day": 10},
        "total": {"currencyCode": "USD", "units": "3", "nanos": 490000000},
        "ingestTime": "2026-03-11T06:15:04Z",
        "items": [
            {
                "productNameRaw": "BANANAS",
                "upc": "4011",
                "quantity": {"value": "2.340"},
                "unitPrice": {"currencyCode": "USD", "nanos": 590000000},
                "extendedPrice": {"currencyCode": "USD", "units": "1", "nanos": 380000000},
            }
        ],
    },
}
FLOAT = "a float loses cents"


def changed(path: list[Any], value: Any) -> str:
    receipt = copy.deepcopy(RECEIPT)
    target: Any = receipt
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value
    return json.dumps(receipt)


def test_the_json_form_is_read_and_written() -> None:
    """What is written is read back as the same message, under either kind of name."""
    message = from_json(Receipt, json.dumps(RECEIPT))
    check(message)
    assert from_json(Receipt, to_json(message)) == message
    assert from_json(Receipt, to_json(message, proto_names=True)) == message


@pytest.mark.parametrize(
    ("path", "value", "field", "words"),
    [
        (["purchase", "total"], 87.42, "purchase.total", FLOAT),
        (["purchase", "total", "units"], 87.42, "purchase.total.units", FLOAT),
        (["purchase", "total", "units"], 87.0, "purchase.total.units", FLOAT),
        (["purchase", "total", "units"], True, "purchase.total.units", "whole number"),
        (["purchase", "total", "units"], "9" * 20, "purchase.total.units", "out of range"),
        (["purchase", "total", "units"], "9" * 11, "purchase.total.units", ""),
        (["purchase", "total", "currencyCode"], "usd", "purchase.total.currencyCode", ""),
        (["purchase", "total"], None, "purchase.total", "required"),
        (["purchase", "items", 0, "unitPrice"], "3.49", "purchase.items[0].unitPrice", "not text"),
        (
            ["purchase", "items", 0, "quantity", "value"],
            0.7,
            "purchase.items[0].quantity.value",
            "",
        ),
        (["purchase", "items", 0, "quantity"], 0.7, "purchase.items[0].quantity", '{"value"'),
        (["purchase", "items", 0], None, "purchase.items[0]", "not null"),
        (["purchase", "items"], {}, "purchase.items", "must be a list"),
        (["purchase", "items"], [], "purchase", "at least one item"),
        (["purchase", "items", 0, "price"], 1, "purchase.items[0].price", "not a field"),
        (["store"], "STORE_SLUG_ALDI", "store", "STORE_SLUG_TARGET"),
        (["store"], 99, "store", "STORE_SLUG_TARGET"),
        (["store"], "\ud800", "store", "STORE_SLUG_TARGET"),
        (["store"], "STORE_SLUG_UNSPECIFIED", "store", ""),
        (["purchase", "ingestTime"], "2026-03-11T06:15:04", "purchase.ingestTime", "zone"),
        (["purchase", "ingestTime"], 1, "purchase.ingestTime", "time in quotes"),
        (["purchase", "ingestTime"], "2026-02-30T06:15:04Z", "purchase.ingestTime", "range"),
        (["purchase", "purchaseDate"], "2026-03-11", "purchase.purchaseDate", "{"),
        (["purchase", "purchaseDate", "day"], 32, "purchase.purchaseDate.day", ""),
        (["purchase", "purchaseDate", "month"], 0, "purchase.purchaseDate.month", ""),
        (["purchase", "userId"], None, "purchase.userId", ""),
        (["purchase", "userId"], 7, "purchase.userId", "text in quotes"),
        (["purchase", "userId"], "\ud800", "purchase.userId", "surrogate"),
        (["purchase", "userId"], "a\x00b", "purchase.userId", "NUL"),
        (["purchase", "id"], "01990000-0000-7000-8000-000000000001", "", "given when"),
        (["purchase", "user_id"], "twice", "purchase.user_id", "given twice"),
    ],
)
def test_a_wrong_field_is_named(path: list[Any], value: Any, field: str, words: str) -> None:
    """Each kind of mistake is one error with the field's path and what to write instead."""
    with pytest.raises(InvalidFieldError) as caught:
        check(from_json(Receipt, changed(path, value)), json_names=True)
    assert caught.value.field == field
    assert words in caught.value.reason
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1", '{"store": }', b"\xff{}", '{"purchase":' * 100_000, "9" * 10_000, "{'a': 1}"],
    ids=range(8),
)
def test_what_is_no_json_says_so(text: str | bytes) -> None:
    """Text that is no JSON is one error, whatever is wrong with it."""
    with pytest.raises(NotJsonError, match="is not JSON"):
        from_json(Receipt, text)


@pytest.mark.parametrize("text", ["[]", "null", "5", '"x"', '{"store": NaN}', '{"a": 1, "a": 2}'])
def test_json_of_another_shape_is_refused(text: str) -> None:
    """Lists, plain values, NaN and repeated names are no message."""
    with pytest.raises(InvalidFieldError):
        from_json(Receipt, text)


def test_a_field_missing_is_named() -> None:
    """Each required field that is left out is named."""
    for name in ("userId", "receiptId", "purchaseDate", "total", "ingestTime"):
        receipt = copy.deepcopy(RECEIPT)
        del receipt["purchase"][name]
        with pytest.raises(InvalidFieldError) as caught:
            check(from_json(Receipt, json.dumps(receipt)), json_names=True)
        assert caught.value.field == f"purchase.{name}"


NAMES = st.sampled_from(
    ["store", "purchase", "items", "total", "units", "quantity", "ingestTime", "x"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON)
def test_no_json_at_all_raises_anything_else(value: Any) -> None:
    """Whatever the JSON, the outcome is a message or one of our errors."""
    try:
        message = from_json(Receipt, json.dumps(value))
        check(message)
    except CartsnitchError:
        return
    assert isinstance(message, Receipt)


@pytest.mark.parametrize("value", ["true", "false"])
def test_a_truth_is_no_name_of_an_enum(value: str) -> None:
    """Though Python takes it for a number."""
    with pytest.raises(InvalidFieldError, match="must be one of") as caught:
        from_json(PriceObservation, f'{{"source": {value}}}')
    assert caught.value.field == "source"


@pytest.mark.parametrize("value", ["1" + 400 * "0", "1e400", "-1e400"])
def test_a_number_beyond_all_floats_is_named(value: str) -> None:
    """Whether it is written in digits or with an exponent."""
    with pytest.raises(InvalidFieldError) as caught:
        from_json(StoreLocation, f'{{"lat": {value}}}')
    assert caught.value.field == "lat"
