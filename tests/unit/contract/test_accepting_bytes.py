from __future__ import annotations

import base64
import inspect
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.type.v1 import Money
from cartsnitch_common.contract.accepting_bytes import _twin_acceptance, bytes_acceptance
from tests.arbitrary import messages
from tests.fuzz.wire import END_GROUP, GROUP, LENGTH, VARINT, number, tag, text, varint
from tests.near import candidates
from tests.sound import put, sound
from tests.unit.contract.test_accepting import (
    CLASSES,
    GOLDEN,
    SENT,
    UNKNOWN_RULE,
    _with_rule,
    accepts,
    keeps_every_rule,
)

PRICE = next(field for field in PriceObservation.DESCRIPTOR.fields if field.name == "sale_price")


def accepts_bytes(message: Any) -> bool:
    """What is said of the bytes of a message, as protobuf writes them."""
    accept = bytes_acceptance(message.DESCRIPTOR)
    assert accept is not None
    return accept(message.SerializeToString())


@pytest.mark.parametrize("kind", SENT.values(), ids=SENT.keys())
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_bytes_of_any_message_are_accepted_as_the_message_is(
    kind: Any, data: st.DataObject
) -> None:
    """Whatever a message holds: its bytes are accepted where it is, and it keeps every rule."""
    message = data.draw(messages(kind.DESCRIPTOR))
    assert accepts_bytes(message) == accepts(message)
    assert not accepts_bytes(message) or keeps_every_rule(message)


@pytest.mark.parametrize("kind", SENT.values(), ids=SENT.keys())
def test_bytes_of_what_is_almost_right_are_accepted_as_the_message_is(kind: Any) -> None:
    """Each field of a sound message over the edges of its rules, and unset."""
    start = sound(kind.DESCRIPTOR)
    assert accepts_bytes(start) == accepts(start)
    for field in kind.DESCRIPTOR.fields:
        for value in candidates(field):
            message = kind()
            message.CopyFrom(start)
            put(message, field, value)
            assert accepts_bytes(message) == accepts(message), message
            assert not accepts_bytes(message) or keeps_every_rule(message), message


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_bytes_of_golden_vectors_are_told_apart(path: Any) -> None:
    """A vector that breaks a rule is not accepted, one that breaks none is."""
    vector = json.loads(path.read_text())
    message = CLASSES[path.parent.name].FromString(base64.b64decode(vector["binary"]))
    assert accepts_bytes(message) == (not vector["breaks"])


def _long(value: int, length: int = 10) -> bytes:
    """A number in more bytes than it takes."""
    digits = [value >> 7 * place & 0x7F | 0x80 for place in range(length)]
    return bytes([*digits[:-1], digits[-1] & 0x7F])


USD = text(1, b"USD")
PARTS = [
    *(USD, text(1, b"EUR"), text(1, b""), number(1, 7)),
    *(number(2, units) for units in (0, 1, 99_999_999, 100_000_000, 2**64 - 1, 2**63)),
    *(tag(2, VARINT) + _long(units) for units in (0, 3, 2**64 - 1)),
    *(tag(3, VARINT) + _long(nanos) for nanos in (0, 500_000_000, 2**32 + 500_000_000)),
    *(number(3, nanos) for nanos in (1, 100_000, 10_000_000, 999_900_000, 2**64 - 100_000)),
    *(text(2, b"3"), text(3, b""), tag(3, 5) + b"1234", tag(2, 1) + b"12345678"),
    *(number(9, 5), text(100, b"later"), text(100, b"l" * 70), tag(9, GROUP) + tag(9, END_GROUP)),
]
"""Fields of a price as no publisher of ours writes them, and as one does."""


@settings(max_examples=400)
@given(
    st.lists(st.lists(st.sampled_from(PARTS), max_size=5).map(b"".join), min_size=1, max_size=3),
    st.sampled_from([b"", USD]),
)
def test_prices_that_nobody_writes_are_told_apart_as_the_message_is(
    prices: list[bytes], currency: bytes
) -> None:
    """Long numbers, parts that stand twice, unknown ones, other kinds: as the message has them."""
    start: Any = sound(PriceObservation.DESCRIPTOR)
    start.ClearField(PRICE.name)
    foreign = b"".join(text(PRICE.number, currency + price) for price in prices)
    message = PriceObservation.FromString(start.SerializeToString() + foreign)
    assert not accepts_bytes(message) or keeps_every_rule(message)
    if len(message.sale_price.SerializeToString()) <= 64:
        assert accepts_bytes(message) == accepts(message)


def test_a_price_in_a_field_of_another_kind_is_none() -> None:
    """A number where a price belongs is a field that is not known, in both readings."""
    start: Any = sound(PriceObservation.DESCRIPTOR)
    start.ClearField(PRICE.name)
    for field in (PRICE.number, PriceObservation.DESCRIPTOR.fields_by_name["regular_price"].number):
        other = start.SerializeToString() + number(field, 5)
        message: Any = PriceObservation.FromString(other)
        assert message.SerializeToString() != start.SerializeToString()
        assert accepts_bytes(message)


def test_what_is_remembered_of_one_field_is_not_believed_of_another() -> None:
    """A price that may be unset in one field is required in the other."""
    right: Any = sound(PriceObservation.DESCRIPTOR)
    right.ClearField("sale_price")
    assert accepts_bytes(right)
    right.ClearField("regular_price")
    assert not accepts_bytes(right)
    right.regular_price.SetInParent()
    assert not accepts_bytes(right)


def test_a_price_with_much_that_is_unknown_is_left_to_protovalidate() -> None:
    """It is not remembered, so that no stranger fills the memory; it may be right all the same."""
    message: Any = sound(PriceObservation.DESCRIPTOR)
    message.sale_price.MergeFromString(text(100, bytes(100)))
    assert keeps_every_rule(message)
    assert not accepts_bytes(message)


@pytest.mark.parametrize("kind", SENT.values(), ids=SENT.keys())
@settings(max_examples=30)
@given(data=st.binary(max_size=60))
def test_bytes_of_no_message_are_not_accepted(kind: Any, data: bytes) -> None:
    """Whatever the bytes are, nothing is raised, and what is cut off is not accepted."""
    accept = bytes_acceptance(kind.DESCRIPTOR)
    assert accept is not None
    assert accept(data) in {True, False}
    cut = sound(kind.DESCRIPTOR).SerializeToString() + tag(15, LENGTH) + varint(5)
    assert not accept(cut + b"five"[: len(data) % 5])


def test_an_unknown_rule_leaves_bytes_to_protovalidate() -> None:
    """A rule of a later version of buf.validate is asked by nobody but protovalidate."""

    def later(message: Any) -> None:
        options = message.field[0].options.SerializeToString() + UNKNOWN_RULE
        message.field[0].options.MergeFromString(options)

    assert bytes_acceptance(_with_rule(later).DESCRIPTOR) is None
    assert bytes_acceptance(_with_rule(lambda _: None).DESCRIPTOR) is not None


def test_the_code_that_asks_a_twin_can_be_read() -> None:
    """A price is read in one step and asked by its bytes."""
    source = inspect.getsource(_twin_acceptance(PriceObservation.DESCRIPTOR))
    assert "keeps_sale_price(sale_price_)" in source
    assert "units" not in source
    assert Money.DESCRIPTOR.full_name not in source
