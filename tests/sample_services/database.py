"""What the services have in common: pages, looking up."""

from __future__ import annotations

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
