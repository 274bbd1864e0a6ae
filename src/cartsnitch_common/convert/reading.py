"""Messages out of the database without a row between: the work of ``fetching.py``.

The statement's entity is replaced by the scalars of its message; SQLAlchemy compiles and
runs it, so that it is in the session's transaction, within its time limit, with its
errors as ours; and the driver's records go to the encoder as they are. A kept statement
goes to the driver itself where that is the same; see ``direct.py``.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

from asyncpg.pgproto.pgproto import UUID
from sqlalchemy import ARRAY, Select, Uuid, bindparam, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.convert.direct import Direct
from cartsnitch_common.convert.projection import project
from cartsnitch_common.convert.purchase import PURCHASE, PURCHASE_ITEM, PurchaseMapping
from cartsnitch_common.convert.registry import mapping_of_row
from cartsnitch_common.db import models
from cartsnitch_common.db.driver_errors import database_errors
from cartsnitch_common.db.failures import sqlstate_of
from cartsnitch_common.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from sqlalchemy import Connection, CursorResult, RootTransaction
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.orm import Session

    from cartsnitch_common.convert.mapping import Mapping

    type Parameters = dict[str, Any] | None

_IDS: Final = "ids"
_WITHOUT_TRANSACTION: Final = "a stream needs its transaction until it is read to the end"
_NO_CURSOR: Final = frozenset({"25P01", "34000"})
"""What a cursor meets without a transaction, and after a rollback behind its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A statement that is ready to be read as messages.

    Attributes:
        mapping: The mapping of its entity.
        statement: The SELECT of the message's scalars.
        with_items: Whether purchases carry their items.
        direct: The same SELECT past SQLAlchemy's execution.
    """

    mapping: Mapping[Any, Any]
    statement: Select[Any]
    with_items: bool
    direct: Direct

    @classmethod
    def of(cls, statement: Select[Any], *, with_items: bool) -> Reading:
        """Take a SELECT of one entity.

        Raises:
            TypeError: It selects anything else, or items of what has none.
        """
        ready = _READY.get(statement)
        if ready is None or ready.with_items is not with_items:
            ready = _READY[statement] = cls._made(statement, with_items=with_items)
        return ready

    @classmethod
    def _made(cls, statement: Any, *, with_items: bool) -> Reading:
        found = statement.column_descriptions if isinstance(statement, Select) else []
        entity = found[0].get("entity") if len(found) == 1 else None
        if entity is None or found[0]["expr"] is not entity:
            raise TypeError("the statement must be a select() of one entity and nothing else")
        mapping = mapping_of_row(inspect(entity).mapper.class_)
        if with_items and mapping is not PURCHASE:
            raise TypeError("only purchases have items")
        projected = project(statement, entity, mapping)
        return cls(
            mapping=mapping,
            statement=projected,
            with_items=with_items,
            direct=Direct(projected, mapping.row),
        )

    async def all(
        self, session: AsyncSession | AsyncConnection, parameters: Parameters = None
    ) -> list[Any]:
        """Every message."""
        records: Sequence[Any] | None
        with database_errors():
            if isinstance(session, AsyncSession):
                records = await self.direct.fetch(session, parameters)
                if records is None:
                    # Entered once for all: each time costs as much as a short query.
                    records = await session.run_sync(self._fetch_all, parameters)
            else:
                records = await session.run_sync(_fetch_all, self.statement, parameters)
        return await self._messages(session, records)

    def _fetch_all(self, session: Session, parameters: Parameters) -> Sequence[Any]:
        if session.autoflush:
            session.flush()
        connection = session.connection(bind_arguments={"mapper": inspect(self.mapping.row)})
        return _fetch_all(connection, self.statement, parameters)

    async def batches(
        self, session: AsyncSession | AsyncConnection, size: int
    ) -> AsyncIterator[list[Any]]:
        """The messages in batches, by a cursor of the server."""
        connection = await self._connection(session)
        statement = self.statement.execution_options(stream_results=True)
        with _cursor_errors():
            transaction, result = await connection.run_sync(_begin_stream, statement)
        try:
            while True:
                with _cursor_errors():
                    records = await connection.run_sync(_fetch_next, transaction, result, size)
                if not records:
                    return
                yield await self._messages(connection, records)
        finally:
            await connection.run_sync(lambda _: result.close())

    async def _connection(self, session: AsyncSession | AsyncConnection) -> AsyncConnection:
        if not isinstance(session, AsyncSession):
            return session
        if session.sync_session.autoflush:
            await session.flush()
        return await session.connection(bind_arguments={"mapper": inspect(self.mapping.row)})

    async def _messages(
        self, session: AsyncSession | AsyncConnection, records: Sequence[Any]
    ) -> list[Any]:
        encoded = self.mapping.encode_records(records)
        if self.with_items and records:
            connection = await self._connection(session)
            encoded = await _with_items(connection, self.mapping, records, encoded)
        parse = self.mapping.message.FromString
        return [parse(each) for each in encoded]


_READY: Final[WeakKeyDictionary[Select[Any], Reading]] = WeakKeyDictionary()
"""By the statement itself: to make one ready takes longer than to run it."""


def _fetch_all(
    connection: Connection, statement: Select[Any], parameters: Parameters = None
) -> Sequence[Any]:
    return _fetch(connection.execute(statement, parameters))


def _begin_stream(
    connection: Connection, statement: Select[Any]
) -> tuple[RootTransaction | None, CursorResult[Any]]:
    """The transaction that a stream's cursor lives in, and its result."""
    result = connection.execute(statement)
    return connection.get_transaction(), result


def _fetch_next(
    connection: Connection,
    transaction: RootTransaction | None,
    result: CursorResult[Any],
    size: int,
) -> Sequence[Any]:
    # Somebody else may have the connection by now, whose transaction would fail at the server.
    if connection.closed or connection.get_transaction() is not transaction:
        raise DatabaseError(_WITHOUT_TRANSACTION)
    return _fetch(result, size)


@contextmanager
def _cursor_errors() -> Iterator[None]:
    try:
        with database_errors():
            yield
    except Exception as error:
        state = sqlstate_of(error)
        if isinstance(error, DatabaseError) or state not in _NO_CURSOR:
            raise
        ours = DatabaseError(_WITHOUT_TRANSACTION)
        ours.sqlstate = state
        raise ours from None


def _fetch(result: CursorResult[Any], size: int | None = None) -> Sequence[Any]:
    """The driver's records of a result, all or the next; SQLAlchemy would make rows of them.

    The strategy is asked and not the cursor: it has read the first record of a stream.
    """
    strategy, cursor = result.cursor_strategy, cast("Any", result.cursor)
    records: Sequence[Any] = (
        strategy.fetchall(result, cursor)
        if size is None
        else strategy.fetchmany(result, cursor, size)
    )
    return records


async def _with_items(
    connection: AsyncConnection,
    mapping: Mapping[Any, Any],
    records: Sequence[Any],
    encoded: list[bytes],
) -> list[bytes]:
    """The bytes of purchases with those of their items, by one more query."""
    ids = [record[_place(mapping, "id")] for record in records]
    wanted = bindparam(_IDS, [UUID(one) for one in ids], type_=ARRAY(Uuid))
    items = models.PurchaseItem
    statement = (
        select(*PURCHASE_ITEM.scalars)
        .where(items.purchase_id == func.any(wanted))
        .order_by(items.purchase_id, items.id)
    )
    with database_errors():
        found = await connection.run_sync(_fetch_all, statement)
    owner = _place(PURCHASE_ITEM, "purchase_id")
    by_purchase: dict[str, list[bytes]] = defaultdict(list)
    for record, item in zip(found, PURCHASE_ITEM.encode_records(found), strict=True):
        by_purchase[record[owner]].append(item)
    purchases = cast("PurchaseMapping", mapping)
    return [
        purchases.with_items(purchase, by_purchase[one])
        for one, purchase in zip(ids, encoded, strict=True)
    ]


def _place(mapping: Mapping[Any, Any], column: str) -> int:
    return next(place for place, pair in enumerate(mapping.pairs) if pair.column == column)
