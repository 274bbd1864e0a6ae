"""Rows as a driver gives them, a few thousand of each kind, the same in every run."""

from __future__ import annotations

import datetime as dt
import decimal
import random
from typing import Any, Final

from asyncpg.pgproto.pgproto import UUID

from cartsnitch_common.constants import DiscountType, PriceSource, StoreSlug
from cartsnitch_common.db import models

MANY: Final = 2000
"""The rows of one round; their prices repeat as those of a store do."""

_SEEN: Final = dt.datetime(2026, 3, 10, 14, 30, 12, 345_678, tzinfo=dt.UTC)
_DAY: Final = dt.date(2026, 3, 10)
_CENT: Final = decimal.Decimal("0.01")
_START: Final = 0x019C_D7F0_0000
"""The time of the first key. Unit: milliseconds since 1970."""


class Samples:
    """Makes rows. Products, prices and dates repeat; keys of rows do not."""

    def __init__(self) -> None:
        self._chance = random.Random(4)  # noqa: S311 - the same rows each time
        self._keys = 0
        self.stores = [self.key() for _ in range(3)]
        self.products = [self.key() for _ in range(1000)]

    def key(self) -> UUID:
        """A new key as the models make it, a UUIDv7 after those before; the driver's class.

        Random keys would measure an index that nobody has.
        """
        self._keys += 1
        chance = self._chance.getrandbits(74)
        high = (_START + self._keys) << 16 | 7 << 12 | chance >> 62
        return UUID(f"{high << 64 | 2 << 62 | chance & (1 << 62) - 1:032x}")

    def price(self) -> models.PriceHistory:
        """A price with three of its four numbers, on average."""
        receipt = self._chance.random() < 0.7  # noqa: PLR2004 - most prices come from receipts
        return models.PriceHistory(
            id=self.key(),
            normalized_product_id=self._chance.choice(self.products),
            store_id=self._chance.choice(self.stores),
            observed_date=_DAY - dt.timedelta(days=self._chance.randrange(365)),
            regular_price=self._shelf_price(),
            sale_price=self._shelf_price(),
            loyalty_price=self._shelf_price() if self._chance.random() < 0.7 else None,  # noqa: PLR2004
            coupon_price=self._shelf_price() if self._chance.random() < 0.3 else None,  # noqa: PLR2004
            source=PriceSource.RECEIPT if receipt else PriceSource.CATALOG,
            purchase_item_id=self.key() if receipt else None,
        )

    def item(self, purchase_id: UUID | None = None) -> models.PurchaseItem:
        """A line of a receipt."""
        quantity = decimal.Decimal(self._chance.choice(["1.000", "2.000", "0.755"]))
        unit_price = self._shelf_price()
        return models.PurchaseItem(
            id=self.key(),
            purchase_id=purchase_id or self.key(),
            product_name_raw="KRO HNY OAT CRL 18OZ",
            upc=f"{self._chance.randrange(10**12):012}",
            quantity=quantity,
            unit_price=unit_price,
            extended_price=(quantity * unit_price).quantize(_CENT),
            regular_price=self._shelf_price(),
            sale_price=None,
            coupon_discount=self._dollars() if self._chance.random() < 0.3 else None,  # noqa: PLR2004
            loyalty_discount=None,
            category_raw="GROCERY",
            normalized_product_id=self._chance.choice(self.products),
        )

    def purchase(self, lines: int) -> models.Purchase:
        """A receipt with its lines."""
        key = self.key()
        return models.Purchase(
            id=key,
            user_id="01990000-0000-7000-8000-000000000001",
            store_id=self._chance.choice(self.stores),
            store_location_id=self.key(),
            receipt_id=f"{self._chance.randrange(10**9)}",
            purchase_date=_DAY,
            total=self._dollars(),
            subtotal=self._dollars(),
            tax=self._dollars(),
            savings_total=None,
            source_url="https://shop.example/receipts/1",
            ingested_at=_SEEN,
            items=[self.item(key) for _ in range(lines)],
        )

    def product(self) -> models.NormalizedProduct:
        """A product with two codes."""
        return models.NormalizedProduct(
            id=self.key(),
            canonical_name="Honey Oat Cereal",
            category="Breakfast",
            subcategory=None,
            brand="Kroger",
            size="18",
            size_unit="oz",
            upc_variants=["011110000001", "011110000002"],
            created_at=_SEEN,
            updated_at=_SEEN,
        )

    def coupon(self) -> models.Coupon:
        """A coupon of two weeks."""
        return models.Coupon(
            id=self.key(),
            store_id=self._chance.choice(self.stores),
            normalized_product_id=self._chance.choice(self.products),
            title="Save on cereal",
            description=None,
            discount_type=DiscountType.FIXED,
            discount_value=self._dollars(),
            min_purchase=None,
            valid_from=_DAY,
            valid_to=_DAY + dt.timedelta(days=14),
            requires_clip=True,
            coupon_code=None,
            source_url="https://shop.example/coupons/1",
            scraped_at=_SEEN,
        )

    def store(self) -> models.Store:
        """A store."""
        return models.Store(
            id=self.key(),
            name="Kroger",
            slug=StoreSlug.KROGER,
            logo_url="https://shop.example/logo.png",
            website_url=None,
            created_at=_SEEN,
        )

    def _shelf_price(self) -> decimal.Decimal:
        """As stores set them: nine of ten end in a nine."""
        cents = self._chance.randrange(50, 2000)
        if self._chance.random() < 0.9:  # noqa: PLR2004 - see above
            cents += 9 - cents % 10
        return decimal.Decimal(cents * 100).scaleb(-4)

    def _dollars(self) -> decimal.Decimal:
        """An amount that nobody has set, such as a tax."""
        return decimal.Decimal(self._chance.randrange(50, 2000)).scaleb(-2)


def scalars_of(mapping: Any, row: models.Base) -> tuple[Any, ...]:
    """A row as the message-ready scalars that ``convert.projection`` selects."""
    found = []
    for pair in mapping.pairs:
        value = getattr(row, pair.column)
        match value:
            case dt.date():
                value = value.toordinal() - dt.date(1970, 1, 1).toordinal()
            case UUID() | decimal.Decimal():
                value = str(value)
        found.append(value)
    return tuple(found)
