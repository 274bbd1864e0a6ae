"""Coupons that are accepted on a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import any_, func, or_, select
from sqlalchemy.orm import aliased

from cartsnitch_common.db.models import Coupon, Store
from cartsnitch_common.db.queries.anew import anew
from cartsnitch_common.db.queries.arguments import check_ids
from cartsnitch_common.db.queries.pages import PAGE, checked_limit

if TYPE_CHECKING:
    import datetime as dt
    import uuid

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession


def select_active_coupons(
    day: dt.date,
    *,
    store_id: uuid.UUID | None = None,
    product_id: uuid.UUID | None = None,
    basket: bool = False,
    after: uuid.UUID | None = None,
    limit: int = PAGE,
) -> Select[Coupon]:
    """A page of the coupons that are accepted on a day; a date that is NULL is no bound.

    Order: ascending by id.

    Args:
        day: The day, where the shop is.
        store_id: The store that accepts them; None for every store.
        product_id: The product that they are for; None for every coupon.
        basket: Whether coupons that name no product, for the whole basket or for
            several products, stand beside those of ``product_id``.
        after: The id behind which to begin.
        limit: The most rows.

    Raises:
        InvalidFieldError: ``limit`` is no length of a page, see ``checked_limit``, or an id
            is none.
    """
    check_ids(store_id=store_id, product_id=product_id, after=after)
    active = select(Coupon).where(
        or_(Coupon.valid_from.is_(None), Coupon.valid_from <= day),
        or_(Coupon.valid_to.is_(None), Coupon.valid_to >= day),
    )
    of = Coupon.normalized_product_id
    if product_id is not None and basket:
        # Not as OR: the planner would read the index for every coupon of a basket that ever was.
        active = active.where(func.coalesce(of, product_id) == product_id)
    elif product_id is not None:
        active = active.where(of == product_id)
    if store_id is not None:
        active = active.where(Coupon.store_id == store_id)
    elif product_id is None or basket:
        # The stores are named, so that ix_coupons_store_id_valid_to serves all of them.
        stores = func.array(select(Store.id).scalar_subquery())
        active = active.where(Coupon.store_id == any_(stores))
    # Materialized: the planner would walk the key for its order, past all that have expired.
    found = active.cte("active").prefix_with("MATERIALIZED", dialect="postgresql")
    coupon = aliased(Coupon, found, adapt_on_names=True)
    query = select(coupon).order_by(coupon.id).limit(checked_limit(limit))
    return query if after is None else query.where(coupon.id > after)


async def active_coupons(
    session: AsyncSession,
    day: dt.date,
    *,
    store_id: uuid.UUID | None = None,
    product_id: uuid.UUID | None = None,
    basket: bool = False,
    after: uuid.UUID | None = None,
    limit: int = PAGE,
) -> list[Coupon]:
    """A page of the coupons that are accepted on a day; see ``select_active_coupons``."""
    query = select_active_coupons(
        day, store_id=store_id, product_id=product_id, basket=basket, after=after, limit=limit
    )
    return list(await session.scalars(query, execution_options=anew(session)))
