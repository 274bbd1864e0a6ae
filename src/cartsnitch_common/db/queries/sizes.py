"""The sizes that receipts printed for a product, in event time: what tells that it shrank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, true, tuple_

from cartsnitch_common.db.models import Purchase, PurchaseItem
from cartsnitch_common.db.queries.anew import anew
from cartsnitch_common.db.queries.arguments import check_ids, checked_place
from cartsnitch_common.db.queries.pages import LONGEST, PAGE, checked_limit
from cartsnitch_common.values.no_package import was_weighed
from cartsnitch_common.values.printed_sizes import HAS_NUMBER, find_size

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import uuid
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch_common.db.queries.pages import Position

# Many lines print no size, and each read finds the product's lines anew: few large ones.
_FIRST_LINES: Final = 100
_MOST_LINES: Final = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSize:
    """A size that a receipt line printed for a product.

    Attributes:
        normalized_product_id: The product that the line was matched to.
        store_id: The store that printed it.
        observed_date: The day of the purchase.
        size: The size as printed, such as ``"12 x 12"``.
        unit: Its unit, in one spelling.
        shelf_price: The price of one piece before discounts, on that receipt.
            Unit: dollars, to four decimal places.
        purchase_item_id: The receipt line.
    """

    normalized_product_id: uuid.UUID
    store_id: uuid.UUID
    observed_date: dt.date
    size: str
    unit: str
    shelf_price: decimal.Decimal
    purchase_item_id: uuid.UUID

    @property
    def position(self) -> Position:
        """Where a page that begins behind this size begins."""
        return self.observed_date, self.purchase_item_id


def select_size_history(
    product_id: uuid.UUID,
    *,
    store_id: uuid.UUID | None = None,
    since: dt.date | None = None,
    until: dt.date | None = None,
    after: Position | None = None,
    limit: int | None = None,
) -> Select[PurchaseItem, uuid.UUID, dt.date]:
    """The receipt lines of a product that may print a size, with their store and day.

    Order: ascending by day; of one day, by the line's id. A receipt that is read late
    adds to days gone by.

    The days are on the receipts, so that each page reads the lines of the product and
    their receipts, all by index: what it costs grows with the product's lines, not with
    the tables.

    Args:
        product_id: The product.
        store_id: The store; None for every store.
        since: The first day, inclusive; None for no bound.
        until: The last day, inclusive; None for no bound.
        after: The day and the line's id behind which to begin; None for the first.
        limit: The most lines; None for all.

    Raises:
        InvalidFieldError: An id is none, or ``limit`` no length of a page; see ``checked_limit``.
    """
    check_ids(product_id=product_id, store_id=store_id)
    after = checked_place(after)
    # LATERAL, and with a limit: of a product on many lines, or for few days, the planner
    # would read all purchases instead of the product's.
    purchase = (
        select(Purchase.store_id, Purchase.purchase_date)
        .where(Purchase.id == PurchaseItem.purchase_id, *_on(store_id, since, until))
        .limit(1)
        .lateral("purchase")
    )
    position = (purchase.c.purchase_date, PurchaseItem.id)
    query = (
        select(PurchaseItem, purchase.c.store_id, purchase.c.purchase_date)
        .join(purchase, true())
        .where(
            PurchaseItem.normalized_product_id == product_id,
            # Without a number there is no size: "BANANAS" need not leave the server.
            PurchaseItem.product_name_raw.op("~")(HAS_NUMBER),
        )
        .order_by(*position)
        .limit(None if limit is None else checked_limit(limit))
    )
    if after is not None:
        query = query.where(tuple_(*position) > tuple_(*after))
    return query


def _on(
    store_id: uuid.UUID | None, since: dt.date | None, until: dt.date | None
) -> Iterator[ColumnElement[bool]]:
    if store_id is not None:
        yield Purchase.store_id == store_id
    if since is not None:
        yield Purchase.purchase_date >= since
    if until is not None:
        yield Purchase.purchase_date <= until


async def list_sizes(
    session: AsyncSession,
    product_id: uuid.UUID,
    *,
    store_id: uuid.UUID | None = None,
    since: dt.date | None = None,
    until: dt.date | None = None,
    after: Position | None = None,
    limit: int = PAGE,
) -> list[SeenSize]:
    """A page of the sizes that receipts printed for a product, the oldest first.

    Lines that print no size are passed over, so that a page that is not full is the
    last. The arguments are those of :func:`select_size_history`.

    Raises:
        InvalidFieldError: An id is none, or ``limit`` no length of a page; see ``checked_limit``.
    """
    found: list[SeenSize] = []
    lines = min(max(2 * checked_limit(limit), _FIRST_LINES), LONGEST)
    while True:
        query = select_size_history(
            product_id, store_id=store_id, since=since, until=until, after=after, limit=lines
        )
        rows = (await session.execute(query, execution_options=anew(session))).all()
        found += [size for row in rows if (size := _seen(*row)) is not None]
        if len(found) >= limit or len(rows) < lines:
            return found[:limit]
        item, _, day = rows[-1]
        after = day, item.id
        lines = max(lines, _MOST_LINES)


def _seen(item: PurchaseItem, store_id: uuid.UUID, day: dt.date) -> SeenSize | None:
    printed = find_size(item.product_name_raw)
    if printed is None or item.normalized_product_id is None:
        return None
    if was_weighed(printed, item.quantity):
        return None
    return SeenSize(
        normalized_product_id=item.normalized_product_id,
        store_id=store_id,
        observed_date=day,
        size=printed[0],
        unit=printed[1],
        shelf_price=item.unit_price if item.regular_price is None else item.regular_price,
        purchase_item_id=item.id,
    )
