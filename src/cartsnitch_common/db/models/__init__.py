"""Every table that this package owns, one aggregate a module."""

from __future__ import annotations

from cartsnitch_common.db.base import Base
from cartsnitch_common.db.models.coupon import Coupon
from cartsnitch_common.db.models.current_price import CurrentPrice
from cartsnitch_common.db.models.event import DeadLetter, InboxEvent, LoggedEvent, OutboxEvent
from cartsnitch_common.db.models.price import PriceHistory
from cartsnitch_common.db.models.product import NormalizedProduct, ProductName
from cartsnitch_common.db.models.purchase import Purchase, PurchaseItem
from cartsnitch_common.db.models.shrinkflation import ShrinkflationEvent
from cartsnitch_common.db.models.store import Store, StoreLocation
from cartsnitch_common.db.models.user import User, UserStoreAccount

__all__ = [
    "Base",
    "Coupon",
    "CurrentPrice",
    "DeadLetter",
    "InboxEvent",
    "LoggedEvent",
    "NormalizedProduct",
    "OutboxEvent",
    "PriceHistory",
    "ProductName",
    "Purchase",
    "PurchaseItem",
    "ShrinkflationEvent",
    "Store",
    "StoreLocation",
    "User",
    "UserStoreAccount",
]
