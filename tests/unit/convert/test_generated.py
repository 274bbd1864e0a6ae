"""The generated ways against the slow ones: what they do not decline, they do the same."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import make_transient_to_detached

from cartsnitch_common.constants import StoreSlug
from cartsnitch_common.contract.memo import Memo, memory
from cartsnitch_common.contract.twins import twin_of
from cartsnitch_common.convert import MAPPINGS, from_message, pieces, to_bytes, to_message
from cartsnitch_common.convert.binary import SIGNATURE, TRAILER
from cartsnitch_common.convert.pieces import WIRE, varint
from cartsnitch_common.db import models
from cartsnitch_common.errors import InvalidFieldError, UnmappableValueError
from tests.arbitrary import message_classes
from tests.near import candidates
from tests.sound import put, sound
from tests.strategies import any_parents, values_of

each_mapping = pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda one: one.row.__name__)
few_examples = settings(max_examples=30, suppress_health_check=list(HealthCheck))


@each_mapping
@few_examples
@given(data=st.data())
def test_a_sound_row_takes_the_fast_ways(mapping: Any, data: st.DataObject) -> None:
    """No row that a table may hold is left to the slow ways, and both do the same."""
    values = data.draw(values_of(mapping.row, any_parents()))
    row = mapping.row(**values)
    message = mapping._slow_message(row)
    attributes = mapping.row(**values).__dict__ | _all_unset(mapping) | values
    encoded = mapping.write_row(attributes).encode(WIRE)
    assert encoded == message.SerializeToString()
    assert mapping.read_twin(mapping.twin(message)) == mapping._slow_values(message)
    assert mapping._read_copy(mapping.twin(message)) == mapping._slow_copy_row(message)


def _all_unset(mapping: Any) -> dict[str, None]:
    return dict.fromkeys(pair.column for pair in mapping.pairs)


@each_mapping
def test_what_is_almost_right_is_read_the_same_or_declined(mapping: Any) -> None:
    """Over the edges of every rule: a value that the fast way gives is the slow way's."""
    start = sound(mapping.message.DESCRIPTOR)
    for name in mapping.derived:
        start.ClearField(name)
    for field in mapping.message.DESCRIPTOR.fields:
        for value in candidates(field):
            message = mapping.message()
            message.CopyFrom(start)
            put(message, field, value)
            fast = mapping.read_twin(mapping.twin(message))
            if fast is not None and field.name not in mapping.derived:
                assert fast == mapping._slow_values(message)
                assert mapping.copy_row(message) == mapping._slow_copy_row(message)


@each_mapping
def test_bytes_of_a_row_are_those_of_its_message(mapping: Any) -> None:
    """to_bytes is to_message and SerializeToString, to the byte; of a purchase with its items."""
    message = sound(mapping.message.DESCRIPTOR)
    if mapping.row is models.Purchase:
        message.items[0].purchase_id = message.id
    row = from_message(message)
    assert to_bytes(row) == to_message(row).SerializeToString() == message.SerializeToString()


@pytest.mark.parametrize("kind", message_classes().values(), ids=lambda kind: kind.__name__)
def test_a_twin_reads_what_its_message_writes(kind: Any) -> None:
    """The twin of every message writes back the bytes that it was read from."""
    if kind.DESCRIPTOR.full_name.startswith("cartsnitch.options"):
        return
    encoded = sound(kind.DESCRIPTOR).SerializeToString()
    assert twin_of(kind.DESCRIPTOR).FromString(encoded).SerializeToString() == encoded


def _price(**changes: Any) -> models.PriceHistory:
    some = uuid.UUID("01990000-0000-7000-8000-000000000001")
    values: dict[str, Any] = {
        "id": some,
        "normalized_product_id": some,
        "store_id": some,
        "observed_date": dt.date(2026, 3, 10),
        "regular_price": decimal.Decimal("2.5"),
        "source": "catalog",
        # Set, so that the row takes the fast way.
        **dict.fromkeys(("sale_price", "loyalty_price", "coupon_price", "purchase_item_id")),
    }
    return models.PriceHistory(**(values | changes))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("regular_price", 2.5),
        ("regular_price", True),
        ("regular_price", decimal.Decimal("sNaN")),
        ("observed_date", dt.datetime(2026, 3, 10, tzinfo=dt.UTC)),
        ("id", "01990000-0000-7000-8000-000000000001"),
        ("source", "catalogue"),
    ],
)
def test_what_equals_a_remembered_value_is_refused_all_the_same(column: str, value: Any) -> None:
    """A float that equals a price that was seen before is a float: nothing is taken for it."""
    to_message(_price())
    with pytest.raises(UnmappableValueError) as caught:
        to_message(_price(**{column: value}))
    assert caught.value.field == column


def test_an_attribute_that_is_not_loaded_is_an_error() -> None:
    """Nothing is loaded by the way: the field is named instead, in every kind of session."""
    row = models.PriceHistory(id=uuid.uuid4())
    make_transient_to_detached(row)
    with pytest.raises(UnmappableValueError, match="normalized_product_id: is not loaded"):
        to_message(row)


def test_negative_zero_and_trailing_zeros_are_one_value() -> None:
    """What compares equal is one message, whatever was remembered first."""
    first = to_message(_price(regular_price=decimal.Decimal("-0.00")))
    second = to_message(_price(regular_price=decimal.Decimal(0)))
    assert first == second
    assert to_message(_price(regular_price=decimal.Decimal("2.5000"))) == to_message(_price())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain",
        "jalapeño",
        "Ω",
        "🥕",
        "{x}\\'\"%s\0",
        "x" * 127,
        "x" * 128,
        "é" * 64,
        "é" * 9000,
    ],
    ids=ascii,
)
def test_a_text_is_written_as_protobuf_writes_it(text: str) -> None:
    """In every script and length, in a field that tells "" from unset and in one that does not."""
    row = models.NormalizedProduct(
        id=uuid.uuid4(),
        canonical_name=text,
        category=text,
        upc_variants=[text, text],
        created_at=dt.datetime(1965, 1, 1, tzinfo=dt.UTC),
        updated_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        # Set, so that the row takes the fast way.
        **dict.fromkeys(("subcategory", "brand", "size", "size_unit")),
    )
    mapping = next(one for one in MAPPINGS if one.row is models.NormalizedProduct)
    encoded = mapping.write_row(row.__dict__).encode(WIRE)
    assert encoded == mapping._slow_message(row).SerializeToString()
    record = [str(row.id), text, text, None, None, None, None, json.dumps([text, text])]
    record += [-157_766_400_000_000, 1_767_225_600_000_000]
    assert mapping.encode_records([record]) == [encoded]


class _Shout(str):
    """A text that prints as something else."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()

    def __format__(self, spec: str) -> str:
        return self.upper()


def test_a_text_is_what_it_holds_not_what_it_prints() -> None:
    """A subclass of str is sent by its characters; what is no text is refused."""
    row = models.Store(
        id=uuid.uuid4(),
        name=_Shout("kroger"),
        slug=StoreSlug.KROGER,
        created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        **dict.fromkeys(("logo_url", "website_url")),
    )
    assert to_message(row).name == "kroger"
    mapping = next(one for one in MAPPINGS if one.row is models.Store)
    for wrong in (b"kroger", 7, "\ud800"):
        row.name = wrong  # type: ignore[assignment]
        with pytest.raises(UnmappableValueError) as caught:
            to_message(row)
        assert caught.value.field == "name"
        record = [str(row.id), wrong, "kroger", None, None, 0]
        with pytest.raises(UnmappableValueError) as caught:
            mapping.encode_records([record])
        assert caught.value.field == "name"


def test_a_memo_is_bounded() -> None:
    """However many values pass, some thousand are kept, and each is what its maker makes."""
    memo: Memo[int, int] = Memo(lambda number: number * 2)
    for number in range(20_000):
        assert memo[number] == memo[number] == number * 2
        assert len(memo) <= 4096


def test_a_stranger_cannot_fill_the_memory() -> None:
    """A price with a megabyte of unknown fields is read the slow way, and not remembered."""
    message = to_message(_price())
    message.regular_price.MergeFromString(b"\xaa\x06\x80\x80\x40" + bytes(1 << 20))
    mapping = next(one for one in MAPPINGS if one.row is models.PriceHistory)
    assert mapping.read_twin(mapping.twin(message)) is None
    assert from_message(message).regular_price == decimal.Decimal("2.5")


def test_a_memory_is_bounded() -> None:
    """What generated code looks up forgets too, and has what it was last asked for."""
    known, look_up = memory(str)
    for number in range(10_000):
        assert look_up(number) == look_up(number) == known[number] == str(number)
        assert len(known) <= 4096


@pytest.mark.parametrize("way", ["a row", "a record"])
def test_prices_are_written_that_the_memory_forgets_by_the_way(way: str) -> None:
    """It is full at the second of a row's new prices: the first is forgotten, and no byte is."""
    mapping = next(one for one in MAPPINGS if one.row is models.PriceHistory)
    row = _price(
        regular_price=decimal.Decimal("7777.0001"), sale_price=decimal.Decimal("7777.0002")
    )
    record = [getattr(row, pair.column) for pair in mapping.pairs]
    ready = [
        str(value) if isinstance(value, (uuid.UUID, decimal.Decimal)) else value for value in record
    ]
    ready[[pair.column for pair in mapping.pairs].index("observed_date")] = 20_522
    known, look_up = pieces.numbers(4, money=True)
    known.clear()
    for cents in range(4095):
        look_up(f"{cents}.0000")
    if way == "a row":
        encoded = mapping.write_row(row.__dict__).encode(WIRE)
    else:
        encoded = mapping.encode_records([ready])[0]
    assert 0 < len(known) < 4
    assert encoded == mapping._slow_message(row).SerializeToString()


def test_a_memo_keeps_no_failure() -> None:
    """A value that cannot be made is an error each time."""
    memo: Memo[int, int] = Memo(lambda number: 1 // number)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            memo[0]
    assert not memo


@pytest.mark.parametrize(
    ("number", "encoded"),
    [(0, b"\0"), (127, b"\x7f"), (128, b"\x80\1"), (300, b"\xac\2"), (-1, b"\xff" * 9 + b"\1")],
)
def test_a_varint_is_protobufs(number: int, encoded: bytes) -> None:
    """Seven bits a byte, the lowest first; a negative number has ten bytes."""
    assert varint(number) == encoded


def test_a_record_that_no_message_can_carry_names_its_field() -> None:
    """NaN and NULL where a value is needed: the path is the message's."""
    mapping = next(one for one in MAPPINGS if one.row is models.PriceHistory)
    some = "01990000-0000-7000-8000-000000000001"
    record = [some, some, some, 20_000, "1.0000", None, None, None, "catalog", None]
    assert len(mapping.encode_records([record])) == 1
    for place, value, field in (
        (4, "NaN", "regular_price"),
        (2, None, "store_id"),
        (9, 7, "purchase_item_id"),
    ):
        broken = copy.copy(record)
        broken[place] = value
        with pytest.raises(UnmappableValueError) as caught:
            mapping.encode_records([record, broken])
        assert caught.value.field == field


def test_a_broken_rule_has_the_same_error_in_each_way() -> None:
    """values, copy_row and from_message raise one error: the rule's."""
    mapping = next(one for one in MAPPINGS if one.row is models.PriceHistory)
    message = to_message(_price())
    message.regular_price.nanos = 1
    errors = []
    for way in (mapping.values, mapping.copy_row, from_message):
        with pytest.raises(InvalidFieldError) as caught:
            way(message)
        errors.append((str(caught.value), caught.value.rule_id))
    assert set(errors) == {(errors[0][0], "money.price")}


def test_a_copy_stream_begins_and_ends_as_postgresql_says() -> None:
    """Eleven bytes of signature, two empty words, and a row of -1 fields at the end."""
    assert SIGNATURE == b"PGCOPY\n\xff\r\n\0" + b"\0" * 8
    assert TRAILER == b"\xff\xff"
