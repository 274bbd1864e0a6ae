from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import inspect

from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.purchase.v1 import Purchase, PurchaseItem
from cartsnitch.type.v1 import Money
from cartsnitch_common.convert import MAPPINGS, from_message, to_bytes, to_message
from cartsnitch_common.db import models
from cartsnitch_common.errors import InvalidFieldError, UnmappableValueError
from tests.strategies import any_parents, values_of

NOW = dt.datetime(2026, 3, 10, 14, 30, tzinfo=dt.UTC)
SOME_UUID = uuid.UUID("01990000-0000-7000-8000-000000000001")
UNMAPPED = {
    "current_prices": "copies of rows of price_history, read as those",
    "product_names": "the words of products' names, for the search alone",
}
"""The tables beside those of events that no message carries, each with its reason."""

ENTITY_TABLES = {table for table in models.Base.metadata.tables if not table.startswith("event_")}


def test_every_table_of_the_seed_is_mapped() -> None:
    """Each of the ten tables has a converter; a new table fails here until it has one."""
    mapped = {mapping.row.__tablename__ for mapping in MAPPINGS}
    assert mapped == ENTITY_TABLES - UNMAPPED.keys()
    assert len(mapped) == 10
    assert UNMAPPED.keys() <= ENTITY_TABLES


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: m.row.__name__)
def test_every_column_and_field_is_decided(mapping: Any) -> None:
    """A column is mapped or private with a reason, a field mapped or derived with one."""
    columns = {pair.column for pair in mapping.pairs} | set(mapping.private)
    fields = {pair.field for pair in mapping.pairs} | set(mapping.derived)
    assert columns == {column.key for column in inspect(mapping.row).columns}
    assert fields == {field.name for field in mapping.message.DESCRIPTOR.fields}
    assert all(reason for reason in [*mapping.private.values(), *mapping.derived.values()])


def test_an_undecided_column_is_found() -> None:
    """A mapping that forgets a column raises when it is first used."""
    user = next(mapping for mapping in MAPPINGS if mapping.row is models.User)
    forgetful = type(user)(row=user.row, message=user.message, renamed=user.renamed)
    with pytest.raises(TypeError, match="hashed_password"):
        _ = forgetful.pairs


def test_an_undecided_field_is_found() -> None:
    """A message with a field more than the table raises when it is first used."""
    price = next(mapping for mapping in MAPPINGS if mapping.row is models.PriceHistory)
    wider = type(price)(row=price.row, message=_with_one_more_field(), renamed=price.renamed)
    with pytest.raises(TypeError, match="surplus"):
        _ = wider.pairs


def _with_one_more_field() -> type:
    file = descriptor_pool.Default().FindFileByName("cartsnitch/pricing/v1/price_observation.proto")
    pool = descriptor_pool.DescriptorPool()

    def add(one: Any) -> None:
        for dependency in one.dependencies:
            add(dependency)
        proto = descriptor_pb2.FileDescriptorProto()
        one.CopyToProto(proto)
        if one is file:
            proto.message_type[0].field.add(
                name="surplus", number=99, type=9, label=1, json_name="surplus"
            )
        pool.AddSerializedFile(proto.SerializeToString())

    add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("cartsnitch.pricing.v1.PriceObservation")
    )


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: m.row.__name__)
@given(data=st.data())
def test_a_row_survives_the_way_to_bytes_and_back(mapping: Any, data: st.DataObject) -> None:
    """Row to message to bytes to message to row changes no mapped value."""
    values = data.draw(values_of(mapping.row, any_parents()))
    row = mapping.row(**values)
    message = to_message(row)
    again = type(message).FromString(message.SerializeToString())
    back = from_message(again)
    assert {name: getattr(back, name) for name in values} == values


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: m.row.__name__)
@given(data=st.data())
def test_none_stays_apart_from_empty(mapping: Any, data: st.DataObject) -> None:
    """NULL is an unset field, and an unset field is NULL: never 0 or an empty text."""
    values = data.draw(values_of(mapping.row, any_parents()))
    message = to_message(mapping.row(**values))
    for pair in mapping.pairs:
        if pair.nullable:
            assert message.HasField(pair.field) == (values[pair.column] is not None)


def test_no_secret_has_a_way_into_a_message() -> None:
    """Neither a password hash nor a session nor raw data is anywhere in the contract's bytes."""
    canary = "canary-7f3a"
    user = models.User(
        id="u", email="a@b.example", hashed_password=canary, created_at=NOW, updated_at=NOW
    )
    assert canary not in str(to_message(user))
    names = {field.name for mapping in MAPPINGS for field in mapping.message.DESCRIPTOR.fields}
    assert not names & {"hashed_password", "session_data", "raw_data"}


def _item(**changes: Any) -> PurchaseItem:
    values = {
        "id": "01990000-0000-7000-8000-000000000001",
        "purchase_id": "01990000-0000-7000-8000-000000000002",
        "product_name_raw": "BANANAS",
        "quantity": {"value": "2.340"},
        "unit_price": Money(currency_code="USD", nanos=590_000_000),
        "extended_price": Money(currency_code="USD", units=1, nanos=380_000_000),
    }
    return PurchaseItem(**(values | changes))


def test_a_weighed_item_is_exact() -> None:
    """Weights keep three decimal places, prices four, amounts two."""
    row = from_message(_item())
    assert row.quantity == decimal.Decimal("2.340")
    assert row.unit_price == decimal.Decimal("0.5900")
    assert row.extended_price == decimal.Decimal("1.38")


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        (
            {"extended_price": Money(currency_code="USD", nanos=1_000_000)},
            "extended_price",
            "2 decimal",
        ),
        ({"unit_price": Money(currency_code="USD", nanos=10_000)}, "unit_price", "4 decimal"),
        ({"unit_price": Money(currency_code="EUR", units=1)}, "unit_price", "USD"),
        ({"unit_price": Money(currency_code="USD", units=99_999_999_9)}, "unit_price", "digits"),
        ({"unit_price": Money(currency_code="USD", units=1, nanos=-1)}, "unit_price", ""),
        ({"quantity": {"value": "1.2345"}}, "quantity", "3 decimal"),
        ({"quantity": {"value": "0.0"}}, "quantity", "zero"),
        ({"quantity": {"value": "1e3"}}, "quantity.value", ""),
        ({"product_name_raw": "A\x00B"}, "product_name_raw", "NUL"),
        ({"product_name_raw": "A" * 501}, "product_name_raw", ""),
        ({"product_name_raw": ""}, "product_name_raw", ""),
        ({"upc": "40-11"}, "upc", ""),
        ({"id": "01990000-0000-7000-8000-00000000000G"}, "id", ""),
        ({"id": "01990000-0000-7000-8000-00000000000A"}, "id", "lower-case"),
        ({"id": ""}, "id", "UUID"),
    ],
)
def test_what_a_row_cannot_hold_is_an_error_that_names_the_field(
    changes: dict[str, Any], field: str, words: str
) -> None:
    """Digits, currency, length, NUL, ids: refused before any SQL, with the field's path."""
    with pytest.raises(InvalidFieldError) as caught:
        from_message(_item(**changes))
    assert caught.value.field == field
    assert words in caught.value.reason


def test_an_unknown_enum_value_survives_the_wire_and_is_refused_by_the_table() -> None:
    """A newer writer's enum value is kept in the message and named when it is to be stored."""
    message = PriceObservation(source=77)  # type: ignore[arg-type]
    assert PriceObservation.FromString(message.SerializeToString()).source == 77
    with pytest.raises(InvalidFieldError) as caught:
        from_message(_observation(source=77))
    assert caught.value.field == "source"


def _observation(**changes: Any) -> PriceObservation:
    some_id = "01990000-0000-7000-8000-000000000001"
    values = {
        "id": some_id,
        "normalized_product_id": some_id,
        "store_id": some_id,
        "observed_date": {"year": 2026, "month": 2, "day": 28},
        "regular_price": Money(currency_code="USD"),
        "source": 1,
    }
    return PriceObservation(**(values | changes))


def test_a_price_of_zero_is_not_no_price() -> None:
    """Zero dollars is a value; an unset price is None."""
    row = from_message(_observation())
    assert row.regular_price == 0
    assert row.sale_price is None
    assert to_message(row).HasField("regular_price")
    assert not to_message(row).HasField("sale_price")


def test_a_naive_time_in_a_row_is_refused() -> None:
    """A datetime without a zone is no instant; the error names the message's field."""
    store = models.Store(
        id=SOME_UUID, name="Meijer", slug="meijer", created_at=NOW.replace(tzinfo=None)
    )
    with pytest.raises(UnmappableValueError, match="create_time: a naive datetime"):
        to_message(store)


def test_a_row_that_was_not_written_yet_says_which_value_is_missing() -> None:
    """A value that only the database sets is named, not guessed."""
    with pytest.raises(UnmappableValueError, match="create_time: is not set"):
        to_message(models.Store(id=SOME_UUID, name="Meijer", slug="meijer"))


def test_a_float_in_a_row_is_refused() -> None:
    """A price given as a float raises; it is never rounded."""
    row = from_message(_observation())
    row.regular_price = 3.49  # type: ignore[assignment]
    with pytest.raises(UnmappableValueError, match="regular_price: must be a Decimal"):
        to_message(row)


def test_nan_has_no_message() -> None:
    """NUMERIC can hold NaN; the contract cannot, and says so."""
    row = from_message(_observation())
    row.regular_price = decimal.Decimal("NaN")
    with pytest.raises(UnmappableValueError, match="regular_price: must be a finite number"):
        to_message(row)


def test_a_purchase_carries_its_items_where_they_are_loaded() -> None:
    """Items follow their purchase both ways; each must name it."""
    purchase = _purchase(_item(), _item(id="01990000-0000-7000-8000-000000000009"))
    row = from_message(purchase)
    assert [item.product_name_raw for item in row.items] == ["BANANAS", "BANANAS"]
    # Numbers come back in their shortest form, so the second pass is the fixed point.
    assert from_message(to_message(row)).items[1].quantity == row.items[1].quantity
    purchase.items[1].purchase_id = "01990000-0000-7000-8000-000000000004"
    with pytest.raises(UnmappableValueError, match=r"items\[1\].purchase_id"):
        from_message(purchase)


def test_a_broken_item_is_named_by_its_place() -> None:
    """An error in the tenth line says so."""
    purchase = _purchase(_item(), _item(quantity={"value": "1.23456"}))
    with pytest.raises(InvalidFieldError) as caught:
        from_message(purchase)
    assert caught.value.field == "items[1].quantity"


def test_a_broken_item_of_a_row_is_named_by_its_place() -> None:
    """The path is that of the message, in this direction too."""
    row = from_message(_purchase(_item(), _item()))
    row.items[1].unit_price = 3.49  # type: ignore[assignment]
    for convert in (to_message, to_bytes):
        with pytest.raises(UnmappableValueError) as caught:
            convert(row)
        assert caught.value.field == "items[1].unit_price"


def _purchase(*items: PurchaseItem) -> Purchase:
    return Purchase(
        id="01990000-0000-7000-8000-000000000002",
        user_id="u",
        store_id="01990000-0000-7000-8000-000000000003",
        receipt_id="r-1",
        purchase_date={"year": 2026, "month": 3, "day": 10},
        total=Money(currency_code="USD", units=1),
        ingest_time={"seconds": 1},
        items=items,
    )
