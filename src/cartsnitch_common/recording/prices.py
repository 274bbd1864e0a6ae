"""The prices that the lines of a purchase show."""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from asyncpg.pgproto.pgproto import UUID

from cartsnitch.pricing.v1 import PriceObservation, PriceSource
from cartsnitch_common.contract.scalars import to_money
from cartsnitch_common.values.four_places import SUMS, rounded

if TYPE_CHECKING:
    import datetime as dt
    import uuid
    from collections.abc import Mapping

    from cartsnitch.purchase.v1 import Purchase, PurchaseItem
    from cartsnitch_common.db.queries.recording import PriceBefore

    type Row = Mapping[str, Any]

_NOTHING: Final = decimal.Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceDelta:
    """A regular price beside that of the last day before, at the same store.

    Attributes:
        price_observation_id: The observation.
        normalized_product_id: The product.
        price: The regular price now. Unit: dollars a piece or pound.
        previous_price: The one before; None when no earlier day has one.
        previous_date: Its day.
    """

    price_observation_id: uuid.UUID
    normalized_product_id: uuid.UUID
    price: decimal.Decimal
    previous_price: decimal.Decimal | None
    previous_date: dt.date | None

    @property
    def change(self) -> decimal.Decimal | None:
        """By how much the price rose; negative where it fell, None without one before."""
        before = self.previous_price
        return None if before is None else SUMS.subtract(self.price, before)


def shows_price(item: Row) -> bool:
    """Whether a line shows a price: it is of a known product, which was bought."""
    return item["normalized_product_id"] is not None and item["quantity"] > 0


def price_of(price_id: str, item: Row) -> dict[str, Any]:
    """The row of ``price_history`` that the row of a line shows; the rest is its purchase's."""
    regular = item["regular_price"]
    return {
        "id": UUID(price_id),
        "normalized_product_id": item["normalized_product_id"],
        "regular_price": item["unit_price"] if regular is None else regular,
        "sale_price": item["sale_price"],
        "loyalty_price": _discounted(item, item["loyalty_discount"]),
        "coupon_price": _discounted(item, item["coupon_discount"]),
        "purchase_item_id": item["id"],
    }


def shared_observation(purchase: Purchase) -> PriceObservation:
    """What all prices of a purchase have in common; see ``observation_of``."""
    return PriceObservation(
        store_id=purchase.store_id,
        observed_date=purchase.purchase_date,
        source=PriceSource.PRICE_SOURCE_RECEIPT,
    )


def observation_of(
    price_id: str, price: Row, shared: PriceObservation, item: PurchaseItem
) -> PriceObservation:
    """The message of a row of ``price_of``; its parts are the purchase's where they can be.

    It keeps every rule where the purchase does, so they are not asked again.
    """
    observation = PriceObservation()
    observation.CopyFrom(shared)
    observation.id = price_id
    observation.normalized_product_id = item.normalized_product_id
    observation.purchase_item_id = item.id
    regular = item.regular_price if item.HasField("regular_price") else item.unit_price
    observation.regular_price.CopyFrom(regular)
    if item.HasField("sale_price"):
        observation.sale_price.CopyFrom(item.sale_price)
    for name in ("loyalty_price", "coupon_price"):
        if price[name] is not None:
            getattr(observation, name).CopyFrom(to_money(price[name]))
    return observation


def delta_of(price: Row, before: PriceBefore) -> PriceDelta:
    """A row of ``price_of`` beside the price before."""
    return PriceDelta(
        price_observation_id=price["id"],
        normalized_product_id=price["normalized_product_id"],
        price=price["regular_price"],
        previous_price=before.price,
        previous_date=before.date,
    )


def _discounted(item: Row, discount: decimal.Decimal | None) -> decimal.Decimal | None:
    """The price of a piece without its part of a discount."""
    if discount is None or discount < 0:  # a discount that would raise the price is none
        return None
    price = SUMS.subtract(item["unit_price"], SUMS.divide(discount, item["quantity"]))
    return rounded(max(price, _NOTHING))
