"""One valid payload of every event, as small as the contract allows and as full as it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from cartsnitch.catalog.v1 import StoreSlug
from cartsnitch.coupon.v1 import Coupon, DiscountType
from cartsnitch.event.v1 import (
    CouponsUpdated,
    IngestedReceipt,
    MatchMethod,
    PriceIncreaseDetected,
    PricesUpdated,
    ProductMatch,
    ProductsNormalized,
    ReceiptsIngested,
    ShrinkflationDetected,
)
from cartsnitch.pricing.v1 import PriceObservation, PriceSource
from cartsnitch.shrinkflation.v1 import ShrinkflationEvent
from cartsnitch.type.v1 import Date, Decimal, Money
from cartsnitch_common.contract import binding_of
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    from google.protobuf.message import Message

STORE = "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e5f"
PRODUCT = "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e60"
DAY = Date(year=2026, month=3, day=10)


def dollars(units: int, cents: int = 0) -> Money:
    return Money(currency_code="USD", units=units, nanos=cents * 10_000_000)


def prices(count: int = 1, *, units: int = 3) -> PricesUpdated:
    observation = PriceObservation(
        id=STORE,
        normalized_product_id=PRODUCT,
        store_id=STORE,
        observed_date=DAY,
        regular_price=dollars(units, 49),
        source=PriceSource.PRICE_SOURCE_RECEIPT,
    )
    return PricesUpdated(
        store_id=STORE, store=StoreSlug.STORE_SLUG_MEIJER, observations=[observation] * count
    )


def receipts() -> ReceiptsIngested:
    receipt = IngestedReceipt(
        purchase_id=STORE,
        receipt_id="0042",
        purchase_date=DAY,
        total=dollars(87, 42),
        item_count=12,
    )
    return ReceiptsIngested(
        user_id="user-1", store_id=STORE, store=StoreSlug.STORE_SLUG_KROGER, receipts=[receipt]
    )


def matches() -> ProductsNormalized:
    match = ProductMatch(
        purchase_item_id=STORE,
        normalized_product_id=PRODUCT,
        method=MatchMethod.MATCH_METHOD_GTIN,
        confidence=Decimal(value="0.95"),
        purchase_date=DAY,
        observed_size="15.4",
        observed_size_unit="oz",
    )
    return ProductsNormalized(store_id=STORE, store=StoreSlug.STORE_SLUG_TARGET, matches=[match])


def coupons(*, description: str | None = None, count: int = 1) -> CouponsUpdated:
    coupon = Coupon(
        id=STORE,
        store_id=STORE,
        title="Half off cereal",
        description=description,
        discount_type=DiscountType.DISCOUNT_TYPE_PERCENT,
        discount_value=Decimal(value="50"),
        scrape_time=Timestamp(seconds=1_773_576_000),
    )
    return CouponsUpdated(
        store_id=STORE, store=StoreSlug.STORE_SLUG_MEIJER, coupons=[coupon] * count
    )


def increase() -> PriceIncreaseDetected:
    return PriceIncreaseDetected(
        normalized_product_id=PRODUCT,
        canonical_name="Oat Rings 12 oz",
        store_id=STORE,
        store=StoreSlug.STORE_SLUG_MEIJER,
        previous_price=dollars(3),
        current_price=dollars(3, 49),
        previous_date=DAY,
        current_date=DAY,
        increase_ratio=Decimal(value="0.1633"),
        price_observation_id=str(new_uuid()),
    )


def shrinkflation() -> ShrinkflationDetected:
    finding = ShrinkflationEvent(
        id=STORE,
        normalized_product_id=PRODUCT,
        detected_date=DAY,
        old_size="18",
        new_size="15.4",
        old_unit="oz",
        new_unit="oz",
        confidence=Decimal(value="0.9"),
    )
    return ShrinkflationDetected(finding=finding, canonical_name="Oat Rings")


def all_payloads() -> dict[str, Message]:
    """Every payload of the contract, by its event type."""
    payloads = (prices(), receipts(), matches(), coupons(), increase(), shrinkflation())
    return {binding_of(payload).event_type.value: payload for payload in payloads}


def publisher_of(payload: Message) -> str:
    """A service that may publish it."""
    return min(binding_of(payload).publishers)
