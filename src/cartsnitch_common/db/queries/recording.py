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
    bindparam,
    column,
    exists,
    func,
    insert,
    literal_column,
    or_,
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

    from sqlalchemy import CTE, Select, TableValuedAlias
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.constants import StoreSlug

    type Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceBefore:
    """The regular price of the last day before an observation's, in its series.

    Attributes:
        price: Unit: dollars a piece or pound. None: there is no day before.
        date: The day; None with the price.
    """

    price: decimal.Decimal | None
    date: dt.date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """What became of the rows of a purchase.

    Attributes:
        store: Which retailer the store is; None: there is no such store.
        has_location: Whether the shop is one of the store's, or none is named.
        missing_products: The products that are named and are not there.
        is_new: Whether it was written. If not, though every parent is there, the receipt
            is recorded already.
        before: What each price was before, by its id.
    """

    store: StoreSlug | None
    has_location: bool
    missing_products: frozenset[uuid.UUID]
    is_new: bool
    before: dict[uuid.UUID, PriceBefore]


async def insert_purchase(
    session: AsyncSession, purchase: Row, items: Sequence[Row], prices: Sequence[Row]
) -> Inserted:
    """Write a purchase, its items and its prices in one statement, once.

    Nothing is written where a parent is missing, or the receipt is recorded already. A
    second transaction that writes the same receipt waits for the end of the first. The
    user is not looked up: who records purchases has no right on users.

    Args:
        session: A session on PostgreSQL.
        purchase: The columns of ``purchases``.
        items: The columns of ``purchase_items``, for each line.
        prices: The columns of ``price_history``, for each line that shows a price.

    Raises:
        ConstraintViolationError: The user does not exist.
    """
    parameters = {f"new_{name}": value for name, value in purchase.items()}
    found = await session.execute(
        _insert(), {**parameters, "items": _as_json(items), "prices": _as_json(prices)}
    )
    rows = found.all()
    first = rows[0]
    return Inserted(
        store=first.store,
        has_location=first.has_location,
        missing_products=frozenset(first.missing_products),
        is_new=first.purchase_id is not None,
        before={
            row.price_id: PriceBefore(price=row.regular_price, date=row.observed_date)
            for row in rows
            if row.price_id is not None
        },
    )


def _as_json(rows: Sequence[Row]) -> str:
    # Ids, dates and decimals read back exactly from their text; what is not there is NULL.
    told = [{name: value for name, value in row.items() if value is not None} for row in rows]
    return json.dumps(told, default=str)


@cache
def _insert() -> Select[Any]:
    """One statement: a foreign key is checked at its end, when parent and child are there."""
    purchases, lines, history = map(_table, (Purchase, PurchaseItem, PriceHistory))
    new = {c.name: bindparam(f"new_{c.name}", type_=c.type) for c in purchases.c}
    items = select(_rows("items", lines)).cte("items")
    prices = select(_rows("prices", history)).cte("prices")
    parents = _parents(new["store_id"], new["store_location_id"], items)
    recorded = (
        insert_or_not(purchases)
        .from_select(
            list(new),
            select(*new.values())
            .select_from(parents)
            .where(
                parents.c.store.is_not(None),
                parents.c.has_location,
                func.cardinality(parents.c.missing_products) == literal_column("0"),
            ),
        )
        .on_conflict_do_nothing(index_elements=["store_id", "receipt_id"])
        .returning(purchases.c.id)
        .cte("recorded")
    )
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
        select(
            parents,
            recorded.c.id.label("purchase_id"),
            prices.c.id.label("price_id"),
            before.c.regular_price,
            before.c.observed_date,
        )
        .select_from(parents)
        .outerjoin(recorded, true())
        .outerjoin(prices, recorded.c.id.is_not(None))
        .outerjoin(before, true())
        .add_cte(
            insert(lines)
            .from_select(lines.c.keys(), select(items).where(is_new))
            .cte("inserted_items"),
            insert(history)
            .from_select(history.c.keys(), select(prices).where(is_new))
            .cte("inserted_prices"),
        )
    )


def _parents(store_id: Any, location_id: Any, items: CTE) -> CTE:
    """What a purchase refers to, as far as it is there: one row."""
    at_store = exists(
        select(StoreLocation.id).where(
            StoreLocation.id == location_id, StoreLocation.store_id == store_id
        )
    )
    product_id = items.c.normalized_product_id
    missing = select(product_id).where(
        product_id.is_not(None), ~exists().where(NormalizedProduct.id == product_id)
    )
    return select(
        select(Store.slug).where(Store.id == store_id).scalar_subquery().label("store"),
        or_(location_id.is_(None), at_store).label("has_location"),
        func.array(missing.scalar_subquery(), type_=ARRAY(Uuid)).label("missing_products"),
    ).cte("parents")


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
