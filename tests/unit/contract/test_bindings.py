from __future__ import annotations

import pytest

from cartsnitch.event.v1 import Envelope, PricesUpdated
from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.constants import PUBLISHERS, EventType
from cartsnitch_common.contract import binding_of, bindings, find_binding
from cartsnitch_common.errors import UnknownEventTypeError

SEED = {
    "cartsnitch.receipts.ingested",
    "cartsnitch.prices.updated",
    "cartsnitch.products.normalized",
    "cartsnitch.coupons.updated",
    "cartsnitch.alerts.price_increase",
    "cartsnitch.alerts.shrinkflation",
}


def test_the_six_channels_are_bound() -> None:
    """Each channel of the platform has exactly one payload, and the envelope carries no other."""
    assert {binding.channel for binding in bindings()} == SEED
    assert len(bindings()) == len(Envelope.DESCRIPTOR.oneofs_by_name["payload"].fields)


def test_the_constants_say_what_the_contract_says() -> None:
    """Code without protobuf knows the same event types and publishers."""
    assert {b.event_type: b.publishers for b in bindings()} == dict(PUBLISHERS)
    assert set(EventType) == {b.event_type for b in bindings()}


def test_an_event_is_found_both_ways() -> None:
    """By its type and by its payload, class or message."""
    binding = find_binding("cartsnitch.prices.updated")
    assert binding == binding_of(PricesUpdated) == binding_of(PricesUpdated())
    assert binding.payload is PricesUpdated
    assert binding.stream == "{cartsnitch.prices.updated}:stream"


def test_what_is_no_event_is_a_named_error() -> None:
    """An unknown type and a message that is no payload say so."""
    with pytest.raises(UnknownEventTypeError, match=r"cartsnitch\.new\.thing"):
        find_binding("cartsnitch.new.thing")
    with pytest.raises(UnknownEventTypeError, match="Purchase"):
        binding_of(Purchase)
