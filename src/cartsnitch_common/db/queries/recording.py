"""A purchase written once, with its items and the prices that it shows: rows in, rows out.

``cartsnitch_common.recording`` makes the rows of a message and publishes the events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import (
    ARRAY,
    JSON,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    column,
    exists,
    func,
    insert,
    literal_column,
    select,
    true,
)
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import insert as insert_or_not

from cartsnitch_common.db.models import (
    NormalizedProduct,
    PriceHistory,
    Purchase,
    PurchaseItem,
    Store,
    StoreLocation,
)

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import uuid
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Select, TableValuedAlias
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.constants import StoreSlug

    type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parents:
    """What a purchase refers to, as far as it is there.

    Attributes:
        store: Which retailer the store is; None: there is no such store.
        has_location: Whether the shop is one of the store's.
        products: The products that are there.
    """

    store: StoreSlug | None
    has_location: bool
    products: frozenset[uuid.UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBefore:
    """The regular price of the last day before an observation's, in its series.

    Attributes:
        price: Unit: dollars a piece or pound. None: there is no day before.
        date: The day; None with the price.
    """

    price: decimal.Decimal | None
    date: dt.date | None


async def find_parents(
    session: AsyncSession,
    *,
    store_id: uuid.UUID,
    location_id: uuid.UUID | None,
    product_ids: Sequence[uuid.UUID],
) -> Parents:
    """Look up in one statement what a purchase refers to, but for the user.

    Who records purchases has no right on users: a user who does not exist is found by
    the foreign key.
    """
    parameters = {
        "store_id": store_id,
        "location_id": location_id,
        "product_ids": list(product_ids),
    }
    row = (await session.execute(_parents(), parameters)).one()
    return Parents(store=row.store, has_location=row.has_location, products=frozenset(row.products))


async def insert_purchase(
    session: AsyncSession, purchase: Row, items: Sequence[Row], prices: Sequence[Row]
) -> dict[uuid.UUID, PriceBefore] | None:
    """Write a purchase, its items and its prices in one statement, once.

    A second transaction that writes the same receipt waits for the end of the first.

    Args:
        session: A session on PostgreSQL.
        purchase: The columns of ``purchases``.
        items: The columns of ``purchase_items``, for each line.
        prices: The columns of ``price_history``, for each line that shows a price.

    Returns:
        What the price was before, by the id of each price; None, and nothing is
        written, when the receipt is recorded already.

    Raises:
        ConstraintViolationError: A parent is missing.
    """
    parameters = {f"new_{name}": value for name, value in purchase.items()}
    rows = await session.execute(
        _insert(), {**parameters, "items": _as_json(items), "prices": _as_json(prices)}
    )
    found = rows.all()
    if not found:
        return None
    return {
        row.price_id: PriceBefore(price=row.regular_price, date=row.observed_date)
        for row in found
        if row.price_id is not None
    }


def _as_json(rows: Sequence[Row]) -> str:
    # Ids, dates and decimals read back exactly from their text.
    return json.dumps([dict(row) for row in rows], default=str)


@cache
def _parents() -> Select[Any]:
    store = bindparam("store_id", type_=Uuid)
    product_ids = bindparam("product_ids", type_=ARRAY(Uuid))
    location = select(StoreLocation.id).where(
        StoreLocation.id == bindparam("location_id", type_=Uuid), StoreLocation.store_id == store
    )
    products = select(NormalizedProduct.id).where(NormalizedProduct.id == any_(product_ids))
    return select(
        select(Store.slug).where(Store.id == store).scalar_subquery().label("store"),
        exists(location).label("has_location"),
        func.array(products.scalar_subquery(), type_=ARRAY(Uuid)).label("products"),
    )


@cache
def _insert() -> Select[Any]:
    """One statement: a foreign key is checked at its end, when parent and child are there."""
    purchases, lines, history = map(_table, (Purchase, PurchaseItem, PriceHistory))
    recorded = (
        insert_or_not(purchases)
        .values({c.name: bindparam(f"new_{c.name}", type_=c.type) for c in purchases.c})
        .on_conflict_do_nothing(index_elements=["store_id", "receipt_id"])
        .returning(purchases.c.id)
        .cte("recorded")
    )
    items = _rows("items", lines)
    prices = select(_rows("prices", history)).cte("prices")
    is_new = exists(select(recorded.c.id))
    old = history.alias("old")
    before = (
        select(old.c.regular_price, old.c.observed_date)
        .where(
            old.c.normalized_product_id == prices.c.normalized_product_id,
            old.c.store_id == prices.c.store_id,
            old.c.observed_date < prices.c.observed_date,
        )
        .order_by(old.c.observed_date.desc(), old.c.id.desc())
        .limit(literal_column("1"))
        .lateral("before")
    )
    return (
        select(prices.c.id.label("price_id"), before.c.regular_price, before.c.observed_date)
        .select_from(recorded)
        .outerjoin(prices, true())
        .outerjoin(before, true())
        .add_cte(
            insert(lines).from_select(list(lines.c.keys()), select(items).where(is_new)).cte("i"),
            insert(history)
            .from_select(list(history.c.keys()), select(prices).where(is_new))
            .cte("p"),
        )
    )


def _rows(name: str, table: Table) -> TableValuedAlias:
    """The rows of a table that a parameter holds as JSON."""
    columns = [column(c.name, c.type) for c in table.c]
    return (
        func.json_to_recordset(as_type(bindparam(name, type_=Text), JSON))
        .table_valued(*columns)
        .render_derived(name=f"given_{name}", with_types=True)
    )


def _table(model: type[Any]) -> Table:
    return cast("Table", model.__table__)
