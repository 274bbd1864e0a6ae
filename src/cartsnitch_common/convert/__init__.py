"""Rows to messages and back: the only place that knows both.

One at a time::

    message = to_message(row)  # the type of the message follows from the row's
    session.add(from_message(message))

Many at once go without rows, several times as fast::

    messages = await fetch_messages(session, select(PriceHistory).where(...))
    await copy_messages(session, messages)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from cartsnitch_common.convert.copying import copy_messages
from cartsnitch_common.convert.fetching import fetch_messages, stream_messages
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.convert.registry import MAPPINGS, by_message, by_row

if TYPE_CHECKING:
    from cartsnitch.account.v1 import User, UserStoreAccount
    from cartsnitch.catalog.v1 import NormalizedProduct, Store, StoreLocation
    from cartsnitch.coupon.v1 import Coupon
    from cartsnitch.pricing.v1 import PriceObservation
    from cartsnitch.purchase.v1 import Purchase, PurchaseItem
    from cartsnitch.shrinkflation.v1 import ShrinkflationEvent
    from cartsnitch_common.db import models

    type MappedRow = (
        models.Store
        | models.StoreLocation
        | models.User
        | models.UserStoreAccount
        | models.NormalizedProduct
        | models.Purchase
        | models.PurchaseItem
        | models.PriceHistory
        | models.Coupon
        | models.ShrinkflationEvent
    )

__all__ = [
    "MAPPINGS",
    "Mapping",
    "copy_messages",
    "fetch_messages",
    "from_message",
    "stream_messages",
    "to_bytes",
    "to_message",
]


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
    return by_row()[type(row)].to_message(row)


def to_bytes(row: MappedRow) -> bytes:
    """The bytes of a row's message: ``to_message(row).SerializeToString()``, but faster.

    Raises:
        UnmappableValueError: As of :func:`to_message`.
    """
    return by_row()[type(row)].encode_row(row)


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
    return by_message()[type(message)].from_message(message)
