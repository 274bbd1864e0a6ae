"""Prices: the latest, those of a day, a whole store's, and a product's history.

Event time is the order of ``(observed_date, id)``: the day on which a price was valid,
and of one day the later recorded, which corrects the earlier. An old receipt that is
read late takes its place among those of its day.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    Date,
    Integer,
    Uuid,
    bindparam,
    func,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.orm import aliased

from cartsnitch_common.db.models import CurrentPrice, PriceHistory, Store
from cartsnitch_common.db.queries.anew import anew
from cartsnitch_common.db.queries.arguments import check_ids, checked_place, given_only
from cartsnitch_common.db.queries.pages import PAGE, checked_limit

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import uuid
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, FromClause, Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.db.queries.pages import Position

    type Prices = Select[PriceHistory]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePoint:
    """A point of a product's price history.

    Attributes:
        price: The observation.
        effective_price: What one unit cost at best; see ``effective_price``.
            Unit: dollars, to four decimal places.
    """

    price: PriceHistory
    effective_price: decimal.Decimal

    @property
    def position(self) -> Position:
        """Where a page that begins behind this point begins."""
        return self.price.observed_date, self.price.id


def effective_price(
    price: type[PriceHistory] = PriceHistory, *, loyalty: bool = True, coupon: bool = True
) -> ColumnElement[decimal.Decimal]:
    """What one unit cost at best: the lowest of the prices that apply.

    The regular and the sale price apply to everybody. A price that is NULL does not
    apply. Offers do not add up: each price is what a unit costs with that offer.

    Args:
        price: The entity whose columns are meant, such as an ``aliased`` one.
        loyalty: Whether the buyer is in the store's loyalty program.
        coupon: Whether the buyer has the coupon.
    """
    offers = [price.sale_price]
    if loyalty:
        offers.append(price.loyalty_price)
    if coupon:
        offers.append(price.coupon_price)
    return func.least(price.regular_price, *offers)


def select_latest_prices(
    product_ids: Sequence[uuid.UUID],
    *,
    store_id: uuid.UUID | None = None,
    until: dt.date | None = None,
) -> Prices:
    """The latest observation of each product, at one store or at each.

    Order: products as given; of one product, ascending by store.

    Args:
        product_ids: The products. One without an observation has no row.
        store_id: The store; None for every store.
        until: The last day that counts, inclusive; None for no bound.

    Raises:
        InvalidFieldError: An id is none; the field is ``product_ids[2]`` for the third.
    """
    query = _latest(at_store=store_id is not None, bounded=until is not None)
    return query.params(_given_of_latest(product_ids, store_id, until))


def select_current_prices(
    store_id: uuid.UUID, *, after: uuid.UUID | None = None, limit: int | None = None
) -> Prices:
    """The latest observation of every product of a store, from the maintained table.

    Order: ascending by product.

    Args:
        store_id: The store.
        after: The product behind which to begin; None for the first.
        limit: The most rows; None for all, which is for streams.

    Raises:
        InvalidFieldError: An id is none, or ``limit`` no length of a page; see ``checked_limit``.
    """
    check_ids(store_id=store_id, after=after)
    price = _as_prices(CurrentPrice.__table__)
    query = select(price).where(price.store_id == store_id).order_by(price.normalized_product_id)
    if after is not None:
        query = query.where(price.normalized_product_id > after)
    return query if limit is None else query.limit(checked_limit(limit))


def select_price_history(
    product_id: uuid.UUID,
    *,
    store_id: uuid.UUID | None = None,
    since: dt.date | None = None,
    until: dt.date | None = None,
    after: Position | None = None,
    limit: int = PAGE,
) -> Prices:
    """A page of a product's observations in event time, corrected ones among them.

    Args:
        product_id: The product.
        store_id: The store; None for every store.
        since: The first day, inclusive; None for no bound.
        until: The last day, inclusive; None for no bound.
        after: The day and the id of the observation behind which to begin.
        limit: The most rows.

    Raises:
        InvalidFieldError: An id is none, or ``limit`` no length of a page; see ``checked_limit``.
    """
    given = _given_of_page(product_id, store_id, since, until, after)
    return _history(frozenset(given)).params({**given, "most": checked_limit(limit)})


async def latest_price(
    session: AsyncSession,
    product_id: uuid.UUID,
    store_id: uuid.UUID,
    *,
    until: dt.date | None = None,
) -> PriceHistory | None:
    """The latest observation of one product at one store; None without any."""
    check_ids(product_id=product_id, store_id=store_id)
    given = given_only(product_id=product_id, store_id=store_id, until=until)
    query = _latest_of_one(bounded=until is not None)
    rows = await session.scalars(query, given, execution_options=anew(session))
    return rows.one_or_none()


async def latest_prices(
    session: AsyncSession,
    product_ids: Sequence[uuid.UUID],
    *,
    store_id: uuid.UUID | None = None,
    until: dt.date | None = None,
) -> list[PriceHistory]:
    """The latest observation of each product; see ``select_latest_prices``."""
    query = _latest(at_store=store_id is not None, bounded=until is not None)
    given = _given_of_latest(product_ids, store_id, until)
    return list(await session.scalars(query, given, execution_options=anew(session)))


async def current_prices(
    session: AsyncSession,
    store_id: uuid.UUID,
    *,
    after: uuid.UUID | None = None,
    limit: int | None = None,
) -> list[PriceHistory]:
    """The latest observation of every product of a store; see ``select_current_prices``."""
    query = select_current_prices(store_id, after=after, limit=limit)
    return list(await session.scalars(query, execution_options=anew(session)))


async def price_history(
    session: AsyncSession,
    product_id: uuid.UUID,
    *,
    store_id: uuid.UUID | None = None,
    since: dt.date | None = None,
    until: dt.date | None = None,
    after: Position | None = None,
    limit: int = PAGE,
) -> list[PricePoint]:
    """A page of a product's history with effective prices; see ``select_price_history``."""
    given = _given_of_page(product_id, store_id, since, until, after)
    query, given["most"] = _points(frozenset(given)), checked_limit(limit)
    rows = await session.execute(query, given, execution_options=anew(session))
    return [PricePoint(price=found, effective_price=best) for found, best in rows]


# The statements are built once: SQLAlchemy takes longer for that than the server for an answer.


@cache
def _latest_of_one(*, bounded: bool) -> Prices:
    product_id, store_id = bindparam("product_id", type_=Uuid), bindparam("store_id", type_=Uuid)
    return _last(bounded=bounded).where(
        PriceHistory.normalized_product_id == product_id, PriceHistory.store_id == store_id
    )


@cache
def _latest(*, at_store: bool, bounded: bool) -> Prices:
    wanted = (
        func.unnest(bindparam("product_ids", type_=ARRAY(Uuid)))
        .table_valued("id", with_ordinality="place")
        .render_derived()
    )
    # One probe of ix_price_history_series for each product and store.
    last = _last(bounded=bounded).where(PriceHistory.normalized_product_id == wanted.c.id)
    if at_store:
        at = bindparam("store_id", type_=Uuid)
        found = last.where(PriceHistory.store_id == at).lateral()
        rows = wanted.join(found, true())
        return select(_as_prices(found)).select_from(rows).order_by(wanted.c.place)
    found = last.where(PriceHistory.store_id == Store.id).lateral()
    rows = wanted.join(Store.__table__, true()).join(found, true())
    return select(_as_prices(found)).select_from(rows).order_by(wanted.c.place, Store.id)


def _last(*, bounded: bool) -> Prices:
    query = (
        select(PriceHistory)
        .order_by(PriceHistory.observed_date.desc(), PriceHistory.id.desc())
        .limit(literal_column("1"))
    )
    if bounded:
        query = query.where(PriceHistory.observed_date <= bindparam("until", type_=Date))
    return query


@cache
def _points(given: frozenset[str]) -> Select[PriceHistory, decimal.Decimal]:
    query = _history(given)
    return query.add_columns(effective_price(query.column_descriptions[0]["entity"]))


@cache
def _history(given: frozenset[str]) -> Prices:
    """The page of the parameters that are given; each bound is left out without its own."""
    day, most = PriceHistory.observed_date, bindparam("most", type_=Integer)
    page = (
        select(PriceHistory)
        .where(PriceHistory.normalized_product_id == bindparam("product_id", type_=Uuid))
        .order_by(day, PriceHistory.id)
        .limit(most)
    )
    if "since" in given:
        page = page.where(day >= bindparam("since", type_=Date))
    if "until" in given:
        page = page.where(day <= bindparam("until", type_=Date))
    if "after_id" in given:
        after = tuple_(bindparam("after_day", type_=Date), bindparam("after_id", type_=Uuid))
        page = page.where(tuple_(day, PriceHistory.id) > after)
    if "store_id" in given:
        return page.where(PriceHistory.store_id == bindparam("store_id", type_=Uuid))
    # A page of each store, so that no page reads more, however long the history is.
    found = page.where(PriceHistory.store_id == Store.id).lateral()
    price = _as_prices(found)
    rows = Store.__table__.join(found, true())
    return select(price).select_from(rows).order_by(price.observed_date, price.id).limit(most)


def _given_of_page(
    product_id: uuid.UUID,
    store_id: uuid.UUID | None,
    since: dt.date | None,
    until: dt.date | None,
    after: Position | None,
) -> dict[str, Any]:
    check_ids(product_id=product_id, store_id=store_id)
    day, id_ = checked_place(after) or (None, None)
    bounds = {"since": since, "until": until, "after_day": day, "after_id": id_}
    return given_only(product_id=product_id, store_id=store_id, **bounds)


def _given_of_latest(
    product_ids: Sequence[uuid.UUID], store_id: uuid.UUID | None, until: dt.date | None
) -> dict[str, Any]:
    wanted = list(product_ids)
    check_ids(store_id=store_id, **{f"product_ids[{n}]": one for n, one in enumerate(wanted)})
    return given_only(product_ids=wanted, store_id=store_id, until=until)


def _as_prices(rows: FromClause) -> type[PriceHistory]:
    """Rows with the columns of ``price_history`` as observations."""
    # SQLAlchemy types an alias as its own class; it has the attributes of the model.
    alias: type[PriceHistory] = aliased(PriceHistory, rows, adapt_on_names=True)
    return alias
