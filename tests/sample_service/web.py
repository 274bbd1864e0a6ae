"""The gateway's part: the pydantic flavour."""

from __future__ import annotations

from pydantic import BaseModel

from cartsnitch.purchase.v1 import Purchase as Stub
from cartsnitch_common.pydantic.catalog.v1 import StoreSlug
from cartsnitch_common.pydantic.purchase.v1 import Purchase
from cartsnitch_common.pydantic.type.v1 import Money
from cartsnitch_common.pydantic_json import Canonical, from_message, to_message


class Page(BaseModel):
    """What a route answers."""

    purchases: list[Canonical[Purchase]]


def page(stubs: list[Stub]) -> Page:
    """One page of purchases."""
    return Page(purchases=[from_message(Purchase, stub) for stub in stubs])


def total(value: Canonical[Purchase]) -> Stub:
    """A purchase with another total."""
    if value.total is not None:
        cents: int = value.total.units * 100
        value.total = Money(currency_code="USD", units=cents // 100)
    return to_message(Stub, value)


def retailer() -> str | None:
    """An enum's value by the name that the contract gives it."""
    return StoreSlug.MEIJER.proto_name
