"""Rows of every table, generated: each column by its type, within the table's rules."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import uuid
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import inspect
from sqlalchemy import types as sql

from cartsnitch_common.constants import DiscountType, PriceSource
from cartsnitch_common.db import models
from cartsnitch_common.values.ids import new_uuid

UPC = r"([0-9]{4,5}|[0-9]{8}|[0-9]{12,14})"
URL = st.from_regex(r"https://[a-z]{1,20}\.example/[a-z0-9/]{0,40}", fullmatch=True)
# PostgreSQL has no NUL, and half a character is no text.
TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
# From Gregorian year 1, which PostgreSQL, Python and the contract have in common.
DATES = st.dates(min_value=dt.date(1, 1, 1), max_value=dt.date(9999, 12, 31))
TIMES = st.datetimes(
    min_value=dt.datetime(1, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=dt.datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(dt.UTC),
)

Parents = dict[str, Any]


def _numeric(column: sql.Numeric[Any], *, lowest: int | None = None) -> st.SearchStrategy[Any]:
    whole = 10 ** (column.precision - column.scale) - 1
    largest = decimal.Decimal(f"{whole}.{'9' * column.scale}")
    return st.decimals(
        min_value=-largest if lowest is None else lowest, max_value=largest, places=column.scale
    )


def _by_type(column: Any) -> st.SearchStrategy[Any]:
    match column.type:
        case sql.Uuid():
            return st.uuids(version=4)
        case sql.Enum():
            return st.sampled_from(list(column.type.enum_class))
        case sql.String(length=limit):
            return st.text(TEXT, min_size=1, max_size=limit or 200)
        case sql.Float():
            return st.floats(allow_nan=False, allow_infinity=False)
        case sql.Numeric():
            return _numeric(column.type)
        case sql.Date():
            return DATES
        case sql.DateTime():
            return TIMES
        case sql.Boolean():
            return st.booleans()
        case _:
            raise TypeError(column)


def _shelf(model: type[models.Base], *names: str) -> dict[str, st.SearchStrategy[Any]]:
    return {name: _numeric(model.__table__.c[name].type, lowest=0) for name in names}


def _matching(pattern: str) -> st.SearchStrategy[str]:
    return st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)


SPECIAL: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    models.Store: {"logo_url": URL, "website_url": URL},
    models.StoreLocation: {
        "state": _matching("[A-Z]{2}"),
        "zip": _matching("[0-9]{5}(-[0-9]{4})?"),
        "lat": st.floats(-90, 90),
        "lng": st.floats(-180, 180),
    },
    models.User: {"email": _matching(r"[a-z][a-z0-9]{0,20}@[a-z]{1,20}\.example")},
    models.NormalizedProduct: {
        "upc_variants": st.lists(_matching(UPC), max_size=100, unique=True).map(sorted)
    },
    models.Purchase: {"source_url": URL},
    models.PurchaseItem: {
        "upc": _matching(UPC),
        "quantity": _numeric(models.PurchaseItem.__table__.c.quantity.type).filter(bool),
        **_shelf(models.PurchaseItem, "unit_price", "regular_price", "sale_price"),
    },
    models.PriceHistory: _shelf(
        models.PriceHistory, "regular_price", "sale_price", "loyalty_price", "coupon_price"
    ),
    models.Coupon: {
        "source_url": URL,
        "discount_value": st.decimals(0, 100, places=2),
        **_shelf(models.Coupon, "min_purchase"),
    },
    models.ShrinkflationEvent: {
        "confidence": st.decimals(0, 1, places=4),
        **_shelf(models.ShrinkflationEvent, "price_at_old_size", "price_at_new_size"),
    },
}

# Columns that are both set or both NULL.
TOGETHER = {"lat": "lng", "size": "size_unit"}


@st.composite
def values_of(draw: st.DrawFn, model: type[models.Base], parents: Parents) -> dict[str, Any]:
    """The values of one row of a table; foreign keys name the given parents."""
    special = SPECIAL.get(model, {})
    values: dict[str, Any] = {}
    for column in inspect(model).columns:
        if column.key in {"hashed_password", "session_data", "raw_data"}:
            continue
        if column.primary_key:
            values[column.key] = str(new_uuid()) if column.type.python_type is str else new_uuid()
        elif column.foreign_keys:
            name = next(iter(column.foreign_keys)).column.table.name
            parent = parents.get(name)
            values[column.key] = (
                draw(st.sampled_from([None, parent])) if column.nullable else parent
            )
        else:
            some = special[column.key] if column.key in special else _by_type(column)
            values[column.key] = draw(st.none() | some if column.nullable else some)
    for first, second in TOGETHER.items():
        if first in values and (values[first] is None or values[second] is None):
            values[first] = values[second] = None
    return _within_rules(values)


def _within_rules(values: dict[str, Any]) -> dict[str, Any]:
    start, end = values.get("valid_from"), values.get("valid_to")
    if start is not None and end is not None and start > end:
        values["valid_from"], values["valid_to"] = end, start
    if values.get("source") not in {None, PriceSource.RECEIPT}:
        values["purchase_item_id"] = None
    if values.get("discount_type") is DiscountType.PERCENT and values["discount_value"] is None:
        values["discount_value"] = decimal.Decimal("12.50")
    return values


def parents_of(rows: dict[str, models.Base]) -> Parents:
    """The keys of parent rows by table."""
    return {name: getattr(row, "id") for name, row in rows.items()}  # noqa: B009 - Base has no id


def any_parents() -> Parents:
    """Keys that no database needs to know, for tests without one."""
    names = ["stores", "store_locations", "normalized_products", "purchases", "purchase_items"]
    return {name: uuid.uuid4() for name in names} | {"users": "user-1"}
