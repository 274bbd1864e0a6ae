"""Rows to messages as a good engineer writes it by hand: one assignment a field."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from cartsnitch.catalog.v1 import NormalizedProduct, Store, StoreSlug
from cartsnitch.coupon.v1 import Coupon, DiscountType
from cartsnitch.pricing.v1 import PriceObservation, PriceSource
from cartsnitch.purchase.v1 import PurchaseItem

if TYPE_CHECKING:
    import decimal

    from cartsnitch_common.db import models

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SOURCES: Final = {
    name.removeprefix("PRICE_SOURCE_").lower(): number for name, number in PriceSource.items()
}
_SLUGS: Final = {
    name.removeprefix("STORE_SLUG_").lower(): number for name, number in StoreSlug.items()
}
_DISCOUNTS: Final = {
    name.removeprefix("DISCOUNT_TYPE_").lower(): number for name, number in DiscountType.items()
}


def _put_money(money: Any, amount: decimal.Decimal) -> None:
    whole = int(amount.scaleb(4))
    money.currency_code = "USD"
    if whole >= 0:
        units, rest = divmod(whole, 10_000)
        money.units, money.nanos = units, rest * 100_000
    else:
        units, rest = divmod(-whole, 10_000)
        money.units, money.nanos = -units, -rest * 100_000


def _put_date(date: Any, value: dt.date) -> None:
    date.year, date.month, date.day = value.year, value.month, value.day


def _put_time(time: Any, value: dt.datetime) -> None:
    since = value - _EPOCH
    time.seconds = since.days * 86400 + since.seconds
    time.nanos = since.microseconds * 1000


def _plain(number: decimal.Decimal) -> str:
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def price(row: models.PriceHistory) -> PriceObservation:
    """An observation of its row."""
    message = PriceObservation()
    message.id = str(row.id)
    message.normalized_product_id = str(row.normalized_product_id)
    message.store_id = str(row.store_id)
    _put_date(message.observed_date, row.observed_date)
    _put_money(message.regular_price, row.regular_price)
    if row.sale_price is not None:
        _put_money(message.sale_price, row.sale_price)
    if row.loyalty_price is not None:
        _put_money(message.loyalty_price, row.loyalty_price)
    if row.coupon_price is not None:
        _put_money(message.coupon_price, row.coupon_price)
    message.source = _SOURCES[row.source]
    if row.purchase_item_id is not None:
        message.purchase_item_id = str(row.purchase_item_id)
    return message


def item(row: models.PurchaseItem) -> PurchaseItem:
    """A receipt's line of its row."""
    message = PurchaseItem()
    message.id = str(row.id)
    message.purchase_id = str(row.purchase_id)
    message.product_name_raw = row.product_name_raw
    if row.upc is not None:
        message.upc = row.upc
    message.quantity.value = _plain(row.quantity)
    _put_money(message.unit_price, row.unit_price)
    _put_money(message.extended_price, row.extended_price)
    if row.regular_price is not None:
        _put_money(message.regular_price, row.regular_price)
    if row.sale_price is not None:
        _put_money(message.sale_price, row.sale_price)
    if row.coupon_discount is not None:
        _put_money(message.coupon_discount, row.coupon_discount)
    if row.loyalty_discount is not None:
        _put_money(message.loyalty_discount, row.loyalty_discount)
    if row.category_raw is not None:
        message.category_raw = row.category_raw
    if row.normalized_product_id is not None:
        message.normalized_product_id = str(row.normalized_product_id)
    return message


def product(row: models.NormalizedProduct) -> NormalizedProduct:
    """A product of its row."""
    message = NormalizedProduct()
    message.id = str(row.id)
    message.canonical_name = row.canonical_name
    if row.category is not None:
        message.category = row.category
    if row.subcategory is not None:
        message.subcategory = row.subcategory
    if row.brand is not None:
        message.brand = row.brand
    if row.size is not None:
        message.size = row.size
    if row.size_unit is not None:
        message.size_unit = row.size_unit
    message.upc_variants.extend(row.upc_variants)
    _put_time(message.create_time, row.created_at)
    _put_time(message.update_time, row.updated_at)
    return message


def coupon(row: models.Coupon) -> Coupon:
    """A coupon of its row."""
    message = Coupon()
    message.id = str(row.id)
    message.store_id = str(row.store_id)
    if row.normalized_product_id is not None:
        message.normalized_product_id = str(row.normalized_product_id)
    message.title = row.title
    if row.description is not None:
        message.description = row.description
    message.discount_type = _DISCOUNTS[row.discount_type]
    if row.discount_value is not None:
        message.discount_value.value = _plain(row.discount_value)
    if row.min_purchase is not None:
        _put_money(message.min_purchase, row.min_purchase)
    if row.valid_from is not None:
        _put_date(message.valid_from, row.valid_from)
    if row.valid_to is not None:
        _put_date(message.valid_to, row.valid_to)
    message.requires_clip = row.requires_clip
    if row.coupon_code is not None:
        message.coupon_code = row.coupon_code
    if row.source_url is not None:
        message.source_url = row.source_url
    _put_time(message.scrape_time, row.scraped_at)
    return message


def store(row: models.Store) -> Store:
    """A store of its row."""
    message = Store()
    message.id = str(row.id)
    message.name = row.name
    message.slug = _SLUGS[row.slug]
    if row.logo_url is not None:
        message.logo_url = row.logo_url
    if row.website_url is not None:
        message.website_url = row.website_url
    _put_time(message.create_time, row.created_at)
    return message
