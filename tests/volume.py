"""Rows by the thousand, from a seeded generator: hypothesis is for the edges, this for the bulk.

Every column takes each of its kinds of value often: NULL, zero, negative where it may be,
every scale, the first and the last day, letters of many scripts.
"""

from __future__ import annotations

import datetime as dt
import decimal
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import inspect
from sqlalchemy import types as sql

from cartsnitch_common.constants import DiscountType, PriceSource, StoreSlug
from cartsnitch_common.convert import MAPPINGS
from cartsnitch_common.db import models

ALPHABET = (
    "abc XYZ 019 .,-_'\"\\/%&<>\t\n\u00e9\u00df\u0416\u05d0\u4e2d\u0301\U0001f34c\u200f\ufffd"
)
FIRST, LAST = dt.date(1, 1, 1), dt.date(9999, 12, 31)
DAYS = [FIRST, LAST, dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2000, 2, 29)]
TIMES = [
    dt.datetime(1, 1, 1, tzinfo=dt.UTC),
    dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC),
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
]
NOT_NEGATIVE = {
    *("unit_price", "regular_price", "sale_price", "loyalty_price", "coupon_price"),
    *("min_purchase", "price_at_old_size", "price_at_new_size"),
}
PRIVATE = {"hashed_password", "session_data", "raw_data"}
ONE_A_SLUG = len(StoreSlug)


class Volume:
    """Makes rows of every table; foreign keys name rows that were made before."""

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)  # noqa: S311 - the same rows each time
        self._keys: dict[str, list[Any]] = {}
        self._items: dict[Any, Any] = {}

    def tables(self, size: int) -> Iterator[tuple[type[models.Base], list[dict[str, Any]]]]:
        """The rows of each table, parents first; a table of stores has three."""
        for mapping in MAPPINGS:
            model = mapping.row
            many = ONE_A_SLUG if model is models.Store else size
            rows = [self._row(model, number) for number in range(many)]
            self._keys[str(model.__tablename__)] = [row["id"] for row in rows]
            yield model, rows

    def _row(self, model: type[models.Base], number: int) -> dict[str, Any]:
        row = {
            column.key: self._value(column, number)
            for column in inspect(model).columns
            if column.key not in PRIVATE
        }
        return self._within_rules(model, row, number)

    def _value(self, column: Any, number: int) -> Any:
        if column.nullable and self._chance.random() < 0.3:
            return None
        if column.foreign_keys:
            table = next(iter(column.foreign_keys)).column.table.name
            keys = self._keys[table]
            # Of users and purchases, each in turn: some tables have one row of each.
            in_turn = column.name in {"user_id", "normalized_product_id"}
            return keys[number % len(keys)] if in_turn else self._chance.choice(keys)
        special = SPECIAL.get(column.name)
        if special is not None:
            return special(self._chance, number)
        return self._by_type(column, number)

    def _by_type(self, column: Any, number: int) -> Any:
        chance = self._chance
        match column.type:
            case sql.Uuid():
                return uuid.UUID(int=chance.getrandbits(128))
            case sql.Enum():
                return chance.choice(list(column.type.enum_class))
            case sql.String() if column.primary_key:
                return _text(chance, number)
            case sql.String(length=limit):
                longest = min(chance.choice([1, 2, 20, limit or 40]), limit or 40)
                text = "".join(chance.choices(ALPHABET, k=min(longest, 200)))
                return (text * 30)[:limit] if longest == limit else text
            case sql.Numeric(precision=digits, scale=scale):
                return self._number(digits, scale, signed=column.name not in NOT_NEGATIVE)
            case sql.Date():
                ordinal = chance.randint(FIRST.toordinal(), LAST.toordinal())
                return chance.choice([*DAYS, dt.date.fromordinal(ordinal)])
            case sql.DateTime():
                micros = chance.randint(0, 250_000_000_000_000_000)
                return chance.choice([*TIMES, TIMES[0] + dt.timedelta(microseconds=micros)])
            case sql.Boolean():
                return chance.random() < 0.5
            case _:
                raise TypeError(column)

    def _number(self, digits: int, scale: int, *, signed: bool) -> decimal.Decimal:
        chance = self._chance
        places = chance.randint(0, scale)
        whole = chance.choice([0, 1, 9, 10**4, 10 ** (digits - scale) - 1, chance.randint(0, 999)])
        rest = chance.randint(0, 10**places - 1) if places else 0
        number = decimal.Decimal(whole * 10**places + rest).scaleb(-places)
        return -number if signed and chance.random() < 0.4 else number

    def _within_rules(
        self, model: type[models.Base], row: dict[str, Any], number: int
    ) -> dict[str, Any]:
        if model is models.Store:
            row["slug"] = list(StoreSlug)[number]
        if model is models.StoreLocation and (row["lat"] is None or row["lng"] is None):
            row["lat"] = row["lng"] = None
        if model is models.NormalizedProduct and (row["size"] is None or row["size_unit"] is None):
            row["size"] = row["size_unit"] = None
        if model is models.PurchaseItem and not row["quantity"]:
            row["quantity"] = decimal.Decimal("0.755")
        if model is models.PriceHistory and row["source"] is not PriceSource.RECEIPT:
            row["purchase_item_id"] = None
        if model is models.Coupon:
            self._fit_coupon(row)
        return row

    def _fit_coupon(self, row: dict[str, Any]) -> None:
        if row["valid_from"] is not None and row["valid_to"] is not None:
            row["valid_from"], row["valid_to"] = sorted([row["valid_from"], row["valid_to"]])
        value = row["discount_value"]
        if value is not None:
            row["discount_value"] = abs(value)
            if row["discount_type"] in {DiscountType.PERCENT, DiscountType.BOGO}:
                row["discount_value"] = min(abs(value), decimal.Decimal("99.99"))


def _text(chance: random.Random, number: int) -> str:
    return f"{number} " + "".join(chance.choices(ALPHABET, k=8))


def _codes(chance: random.Random, number: int) -> list[str]:
    # The CHECK that no code stands twice takes milliseconds for a hundred.
    many = 100 if number % 500 == 0 else chance.choice([0, 0, 1, 2, 5])
    return sorted({f"{chance.randrange(10**12):012}" for _ in range(many)})


def _one_of(*values: Any) -> Callable[[random.Random, int], Any]:
    return lambda chance, _: chance.choice(values)


SPECIAL: dict[str, Callable[[random.Random, int], Any]] = {
    "email": lambda _, number: f"user+{number}@Parent.example",
    "address": _text,
    "receipt_id": _text,
    "new_size": lambda _, number: f"{number} x 12",
    "state": _one_of("MI", "OH"),
    "zip": _one_of("48103", "00501-0001"),
    "lat": _one_of(0.0, -90.0, 42.280826, 90.0, 1e-300),
    "lng": _one_of(-0.0, -180.0, 83.743038, 180.0),
    "upc": _one_of("4011", "94011", "012345678905", "00012345678905"),
    "upc_variants": _codes,
    "logo_url": _one_of("https://a.example/!~", "http://b"),
    "website_url": _one_of("https://a.example/"),
    "source_url": _one_of("https://a.example/" + "x" * 2000, "http://b"),
    "confidence": _one_of(*(decimal.Decimal(one) for one in ("0", "1", "0.5", "0.9999"))),
}
