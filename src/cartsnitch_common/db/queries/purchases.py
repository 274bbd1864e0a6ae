"""A user's purchases by date, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select, tuple_
from sqlalchemy.orm import selectinload

from cartsnitch_common.db.models import Purchase
from cartsnitch_common.db.queries.anew import anew
from cartsnitch_common.db.queries.arguments import checked_place, checked_text
from cartsnitch_common.db.queries.pages import PAGE, checked_limit

if TYPE_CHECKING:
    import datetime as dt

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.db.queries.pages import Position


def select_purchases(
    user_id: str,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    after: Position | None = None,
    limit: int = PAGE,
) -> Select[Purchase]:
    """A page of a user's purchases, without their items.

    Order: newest first: descending by date, and of one day by id. A receipt that is
    read late is put among those of its day.

    Args:
        user_id: The user; one who does not exist has no purchases.
        since: The first day, inclusive; None for no bound.
        until: The last day, inclusive; None for no bound.
        after: The day and the id of the purchase behind which to begin.
        limit: The most rows.

    Raises:
        InvalidFieldError: ``limit`` is no length of a page, see ``checked_limit``,
            ``user_id`` no text of the database, or the id of ``after`` is none.
    """
    after = checked_place(after)
    day = Purchase.purchase_date
    query = (
        select(Purchase)
        .where(Purchase.user_id == checked_text("user_id", user_id))
        .order_by(day.desc(), Purchase.id.desc())
        .limit(checked_limit(limit))
    )
    if since is not None:
        query = query.where(day >= since)
    if until is not None:
        query = query.where(day <= until)
    if after is not None:
        query = query.where(tuple_(day, Purchase.id) < tuple_(*after))
    return query


def with_items(query: Select[Purchase]) -> Select[Purchase]:
    """Load the items too, in one further statement for all purchases of the page."""
    return query.options(selectinload(Purchase.items))


async def purchases_of(
    session: AsyncSession,
    user_id: str,
    *,
    since: dt.date | None = None,
    until: dt.date | None = None,
    after: Position | None = None,
    limit: int = PAGE,
) -> list[Purchase]:
    """A page of a user's purchases with their items; see ``select_purchases``."""
    query = select_purchases(user_id, since=since, until=until, after=after, limit=limit)
    return list(await session.scalars(with_items(query), execution_options=anew(session)))
