"""Rows to messages and back: the only place that knows both.

from cartsnitch_common.convert import from_message, to_message

message = to_message(row)      # the type of the message follows from the row's
session.add(from_message(message))
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, overload

from cartsnitch_common.convert.coupon import COUPON
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.convert.price import PRICE_OBSERVATION
from cartsnitch_common.convert.product import NORMALIZED_PRODUCT
from cartsnitch_common.convert.purchase import PURCHASE, PURCHASE_ITEM
from cartsnitch_common.convert.shrinkflation import SHRINKFLATION_EVENT
from cartsnitch_common.convert.store import STORE, STORE_LOCATION
from cartsnitch_common.convert.user import USER, USER_STORE_ACCOUNT

if TYPE_CHECKING:
    from cartsnitch.account.v1 import User, UserStoreAccount
    from cartsnitch.catalog.v1 import NormalizedProduct, Store, StoreLocation
    from cartsnitch.coupon.v1 import Coupon
    from cartsnitch.pricing.v1 import PriceObservation
    from cartsnitch.purchase.v1 import Purchase, PurchaseItem
    from cartsnitch.shrinkflation.v1 import ShrinkflationEvent
    from cartsnitch_common.db import models

__all__ = ["MAPPINGS", "Mapping", "from_message", "to_message"]

MAPPINGS: tuple[Mapping[Any, Any], ...] = (
    STORE,
    STORE_LOCATION,
    USER,
    USER_STORE_ACCOUNT,
    NORMALIZED_PRODUCT,
    PURCHASE,
    PURCHASE_ITEM,
    PRICE_OBSERVATION,
    COUPON,
    SHRINKFLATION_EVENT,
)
"""Every aggregate's mapping; parents stand before their children."""


@cache
def _by_row() -> dict[type, Mapping[Any, Any]]:
    return {mapping.row: mapping for mapping in MAPPINGS}


@cache
def _by_message() -> dict[type, Mapping[Any, Any]]:
    return {mapping.message: mapping for mapping in MAPPINGS}


@overload
def to_message(row: models.Store) -> Store: ...
@overload
def to_message(row: models.StoreLocation) -> StoreLocation: ...
@overload
def to_message(row: models.User) -> User: ...
@overload
def to_message(row: models.UserStoreAccount) -> UserStoreAccount: ...
@overload
def to_message(row: models.NormalizedProduct) -> NormalizedProduct: ...
@overload
def to_message(row: models.Purchase) -> Purchase: ...
@overload
def to_message(row: models.PurchaseItem) -> PurchaseItem: ...
@overload
def to_message(row: models.PriceHistory) -> PriceObservation: ...
@overload
def to_message(row: models.Coupon) -> Coupon: ...
@overload
def to_message(row: models.ShrinkflationEvent) -> ShrinkflationEvent: ...
def to_message(row: Any) -> Any:
    """Render a row as a message. Loads nothing: items are carried where they are loaded.

    Raises:
        UnmappableValueError: The row holds a value the contract cannot carry.
    """
    return _by_row()[type(row)].to_message(row)


@overload
def from_message(message: Store) -> models.Store: ...
@overload
def from_message(message: StoreLocation) -> models.StoreLocation: ...
@overload
def from_message(message: User) -> models.User: ...
@overload
def from_message(message: UserStoreAccount) -> models.UserStoreAccount: ...
@overload
def from_message(message: NormalizedProduct) -> models.NormalizedProduct: ...
@overload
def from_message(message: Purchase) -> models.Purchase: ...
@overload
def from_message(message: PurchaseItem) -> models.PurchaseItem: ...
@overload
def from_message(message: PriceObservation) -> models.PriceHistory: ...
@overload
def from_message(message: Coupon) -> models.Coupon: ...
@overload
def from_message(message: ShrinkflationEvent) -> models.ShrinkflationEvent: ...
def from_message(message: Any) -> Any:
    """Make a row of a message. The row belongs to no session.

    Raises:
        InvalidFieldError: The message breaks a rule of the contract; names the field.
        UnmappableValueError: It holds a value the column cannot hold, such as a
            price with more decimal places, another currency or an unknown enum value.
    """
    return _by_message()[type(message)].from_message(message)
