"""What the services have in common: pages, looking up."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import Message
from sqlalchemy import ColumnElement, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.contract.scalars import from_date
from cartsnitch_common.rpc import from_page_token, page_size, to_page_token


async def page_of(
    session: AsyncSession,
    request: Message,
    query: Any,
    *,
    keys: Sequence[Any],
    read: Sequence[Callable[[str], Any]],
    descending: bool = False,
) -> tuple[list[Any], str]:
    """One page of rows in the order of some columns, and the next page's token.

    The columns' values must be the row's last ones; together they are unique.
    """
    position = from_page_token(request)
    key = tuple_(*keys)
    if position is not None:
        values = tuple(parse(text) for parse, text in zip(read, position, strict=True))
        here = tuple_(*values)
        query = query.where(key < here if descending else key > here)
    order = [column.desc() if descending else column.asc() for column in keys]
    size = page_size(request)
    found = list(await session.execute(query.add_columns(*keys).order_by(*order).limit(size + 1)))
    if len(found) <= size:
        return found, ""
    last = found[size - 1][-len(keys) :]
    return found[:size], to_page_token(request, tuple(str(value) for value in last))


def in_days(column: Any, request: Any) -> Iterable[ColumnElement[bool]]:
    """The conditions of ``from_date`` and ``to_date``, where they are set."""
    if request.HasField("from_date"):
        yield column >= from_date(request.from_date)
    if request.HasField("to_date"):
        yield column <= from_date(request.to_date)


def at_store(column: Any, request: Any) -> Iterable[ColumnElement[bool]]:
    """The condition of ``store_id``, where it is set."""
    if request.HasField("store_id"):
        yield column == uuid.UUID(request.store_id)


def days_of(request: Any) -> dict[str, dt.date | None]:
    """``from_date`` and ``to_date`` as the queries take them."""
    return {
        "since": from_date(request.from_date) if request.HasField("from_date") else None,
        "until": from_date(request.to_date) if request.HasField("to_date") else None,
    }


def store_of(request: Any) -> uuid.UUID | None:
    """``store_id``, where it is set."""
    return uuid.UUID(request.store_id) if request.HasField("store_id") else None


def place_of(request: Message) -> dict[str, Any]:
    """Where a page in the order of days begins, and one row more than it has."""
    position = from_page_token(request)
    after = position and (dt.date.fromisoformat(position[0]), uuid.UUID(position[1]))
    return {"after": after, "limit": page_size(request) + 1}


def cut[Row](
    request: Message, found: list[Row], key: Callable[[Row], tuple[dt.date, uuid.UUID]]
) -> tuple[list[Row], str]:
    """The rows of a page, and the token of the next one where ``found`` has a row more."""
    size = page_size(request)
    if len(found) <= size:
        return found, ""
    return found[:size], to_page_token(request, tuple(map(str, key(found[size - 1]))))
