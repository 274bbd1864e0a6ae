"""A purchase written once, with its items, prices and events: rows in, rows out.

The function ``record_purchase`` of the database does it, in one round trip and with plans that
it keeps. ``cartsnitch_common.recording`` makes the rows of a message, and the events.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import (
    ARRAY,
    JSON,
    Integer,
    LargeBinary,
    Text,
    Uuid,
    bindparam,
    column,
    func,
    inspect,
    select,
)
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import JSONB

from cartsnitch_common.constants import StoreSlug
from cartsnitch_common.db.models import Purchase

if TYPE_CHECKING:
    import datetime as dt
    import decimal
    import uuid
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Select
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session
    from sqlalchemy.types import TypeEngine

    type Row = Mapping[str, Any]

# Ids, dates and decimals read back exactly from their text. Rows are flat: no circle to look for.
_as_json: Final = json.JSONEncoder(default=str, separators=(",", ":"), check_circular=False).encode

_RESULTS: Final = (
    "store",
    "has_location",
    "missing_products",
    "is_new",
    "prices_before",
    "dates_before",
)


class PriceBefore(NamedTuple):
    """The regular price of the last day before an observation's, in its series."""

    price: decimal.Decimal | None
    """Unit: dollars a piece or pound. None: there is no day before."""

    date: dt.date | None
    """The day; None with the price."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inserted:
    """What became of the rows of a purchase.

    Attributes:
        store: Which retailer the store is; None: there is no such store.
        has_location: Whether the shop is one of the store's, or none is named.
        missing_products: The products that are named and are not there.
        is_new: Whether it was written. If not, though every parent is there and the store
            is the expected one, the receipt is recorded already.
        before: What each price was before, in the order of the prices.
    """

    store: StoreSlug | None
    has_location: bool
    missing_products: frozenset[uuid.UUID]
    is_new: bool
    before: tuple[PriceBefore, ...]


async def insert_purchase(
    session: AsyncSession,
    purchase: Row,
    items: Sequence[Row],
    prices: Sequence[Row],
    *,
    raw_data: str | None,
    store: StoreSlug,
    events: Mapping[str, Sequence[Any]],
) -> Inserted:
    """Write a purchase, its items, its prices and its events, once.

    Nothing is written where a parent is missing, the store is not the expected one, or the
    receipt is recorded already. A second transaction that writes the same receipt waits for
    the end of the first. The user is not looked up: who records purchases has no right on
    users.

    Args:
        session: A session on PostgreSQL.
        purchase: The columns of ``purchases``, but for ``raw_data``.
        items: The columns of ``purchase_items``, for each line.
        prices: The columns of ``price_history``, for each line that shows a price. Store,
            day and source are not among them: they are the purchase's.
        raw_data: What the retailer sent, as the text of JSON; None: it is not kept.
        store: Which retailer the store is, as the events say.
        events: What ``outbox.columns_of`` returns.

    Raises:
        ConstraintViolationError: The user does not exist, or an id is taken.
    """
    # In one piece, for each time that a session is entered costs as much as a short query.
    row = await session.run_sync(
        _execute,
        {
            "raw_data": raw_data,
            "purchase": _as_json(purchase),
            "items": _as_json(items),
            "prices": _as_json(prices),
            "expected_store": store,
            **events,
        },
    )
    return Inserted(
        store=None if row.store is None else StoreSlug(row.store),
        has_location=row.has_location,
        missing_products=frozenset(row.missing_products),
        is_new=row.is_new,
        before=tuple(map(PriceBefore, row.prices_before or (), row.dates_before or ())),
    )


def _execute(session: Session, parameters: dict[str, Any]) -> Any:
    if session.autoflush:
        session.flush()  # what the caller has added may be a parent
    connection = session.connection(bind_arguments={"mapper": inspect(Purchase)})
    return connection.execute(_statement(), parameters).one()


@cache
def _statement() -> Select[Any]:
    types: dict[str, TypeEngine[Any]] = {
        "purchase": JSON(),
        "raw_data": JSONB(),
        "items": JSON(),
        "prices": JSON(),
        "expected_store": Text(),
        "lock_spaces": ARRAY(Integer),
        "lock_numbers": ARRAY(Integer),
        "event_id": ARRAY(Uuid),
        "event_type": ARRAY(Text),
        "key": ARRAY(Text),
        "envelope": ARRAY(LargeBinary),
    }
    arguments = (_argument(name, kind) for name, kind in types.items())
    recorded = func.record_purchase(*arguments).table_valued(*map(column, _RESULTS))
    return select(recorded)


def _argument(name: str, kind: TypeEngine[Any]) -> ColumnElement[Any]:
    if isinstance(kind, JSON):  # it is text already
        return as_type(bindparam(name, type_=Text), kind)
    return bindparam(name, type_=kind)
