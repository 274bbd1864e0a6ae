"""Price increases: rises of a product's regular price at a store, between two days."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import any_, func, literal_column, select, true, tuple_
from sqlalchemy.orm import aliased

from cartsnitch_common.db.models import PriceHistory, Store
from cartsnitch_common.db.queries.arguments import check_ids, checked_place
from cartsnitch_common.db.queries.pages import PAGE, checked_limit
from cartsnitch_common.values.four_places import SUMS, rounded

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import uuid

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.db.queries.pages import Position


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceIncrease:
    """A rise of the regular price; the contract's message of that name.

    Attributes:
        normalized_product_id: The product.
        store_id: The store.
        previous_price: The regular price before. Unit: dollars a unit.
        current_price: The regular price now, above the one before. Unit: dollars a unit.
        previous_date: The last day before on which a price was seen.
        current_date: The day on which the higher one was seen.
        price_observation_id: The observation that showed it.
    """

    normalized_product_id: uuid.UUID
    store_id: uuid.UUID
    previous_price: decimal.Decimal
    current_price: decimal.Decimal
    previous_date: dt.date
    current_date: dt.date
    price_observation_id: uuid.UUID

    @property
    def ratio(self) -> decimal.Decimal | None:
        """The rise as a share of the price before, rounded half to even; None if that was 0."""
        if not self.previous_price:
            return None
        rise = SUMS.subtract(self.current_price, self.previous_price)
        return rounded(SUMS.divide(rise, self.previous_price))

    @property
    def position(self) -> Position:
        """Where a page that begins behind this increase begins."""
        return self.current_date, self.price_observation_id


def select_price_increases(
    since: dt.date,
    *,
    store_id: uuid.UUID | None = None,
    product_id: uuid.UUID | None = None,
    after: Position | None = None,
    limit: int | None = PAGE,
) -> Select[Any]:
    """A page of the increases since a day; the columns are the fields of ``PriceIncrease``.

    Compared are days in event time, of each the observation recorded last, so an old
    receipt that is read late is compared with the day before its own.

    Order: ascending by ``current_date``, and of one day by ``price_observation_id``.

    Args:
        since: The first ``current_date``, inclusive.
        store_id: The store; None for every store.
        product_id: The product; None for every product.
        after: The position of the increase behind which to begin.
        limit: The most rows; None for all, which costs no more than a page.

    Raises:
        InvalidFieldError: An id is none, or ``limit`` no length of a page; see ``checked_limit``.
    """
    check_ids(store_id=store_id, product_id=product_id)
    after = checked_place(after)
    # What comes behind a position has no earlier day: a later page reads less.
    first = since if after is None else max(since, after[0])
    price = PriceHistory
    series = (price.normalized_product_id, price.store_id)
    # The stores are named, so that ix_price_history_store_id_observed_date serves all of them.
    stores = any_(func.array(select(Store.id).scalar_subquery())) if store_id is None else store_id
    place = func.row_number().over(
        partition_by=(*series, price.observed_date), order_by=price.id.desc()
    )
    seen = select(*series, price.observed_date, price.id, price.regular_price).where(
        price.store_id == stores, price.observed_date >= first
    )
    if product_id is not None:
        seen = seen.where(price.normalized_product_id == product_id)
    day = seen.add_columns(place.label("place")).subquery("day").c
    step = (
        select(
            *day,
            _of_day_before(day.regular_price, day).label("previous_price"),
            _of_day_before(day.observed_date, day).label("previous_date"),
        )
        .where(day.place == literal_column("1"))
        .subquery("step")
    )
    old = aliased(PriceHistory)
    before = (
        select(old.regular_price, old.observed_date)
        .where(
            step.c.previous_date.is_(None),  # the series' first day here: look it up
            old.normalized_product_id == step.c.normalized_product_id,
            old.store_id == step.c.store_id,
            old.observed_date < first,
        )
        .order_by(old.observed_date.desc(), old.id.desc())
        .limit(literal_column("1"))
        .lateral("before")
    )
    previous_price = func.coalesce(step.c.previous_price, before.c.regular_price)
    query = (
        select(
            step.c.normalized_product_id,
            step.c.store_id,
            previous_price.label("previous_price"),
            step.c.regular_price.label("current_price"),
            func.coalesce(step.c.previous_date, before.c.observed_date).label("previous_date"),
            step.c.observed_date.label("current_date"),
            step.c.id.label("price_observation_id"),
        )
        .select_from(step)
        .outerjoin(before, true())
        .where(step.c.regular_price > previous_price)
        .order_by(step.c.observed_date, step.c.id)
        .limit(None if limit is None else checked_limit(limit))
    )
    if after is not None:
        query = query.where(tuple_(step.c.observed_date, step.c.id) > tuple_(*after))
    return query


async def price_increases(
    session: AsyncSession,
    since: dt.date,
    *,
    store_id: uuid.UUID | None = None,
    product_id: uuid.UUID | None = None,
    after: Position | None = None,
    limit: int | None = PAGE,
) -> list[PriceIncrease]:
    """A page of the increases since a day; see ``select_price_increases``."""
    query = select_price_increases(
        since, store_id=store_id, product_id=product_id, after=after, limit=limit
    )
    return [PriceIncrease(**row) for row in (await session.execute(query)).mappings()]


def _of_day_before(column: ColumnElement[Any], day: Any) -> ColumnElement[Any]:
    series = (day.normalized_product_id, day.store_id)
    return func.lag(column).over(partition_by=series, order_by=day.observed_date)
