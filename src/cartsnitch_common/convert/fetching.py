"""Messages straight from a SELECT, all at once or as a stream; no row is made between.

    observations = await fetch_messages(session, select(PriceHistory).where(...))
    async for observation in stream_messages(session, select(PriceHistory)):
        ...

Any SELECT of one entity will do, also of an ``aliased`` one, with any WHERE, JOIN, GROUP BY,
ORDER BY, DISTINCT or LIMIT: the messages are those of the ORM's rows. Of a UNION or of SQL
that is text it is ``select(aliased(PriceHistory, union.subquery()))``. It runs in the
session's transaction and sees what that has written. For sync sessions there is no twin: the
services that read many rows are asynchronous, and a script reads rows and uses ``to_message``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload

from cartsnitch_common.convert.reading import Reading
from cartsnitch_common.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from cartsnitch.account.v1 import User, UserStoreAccount
    from cartsnitch.catalog.v1 import NormalizedProduct, Store, StoreLocation
    from cartsnitch.coupon.v1 import Coupon
    from cartsnitch.pricing.v1 import PriceObservation
    from cartsnitch.purchase.v1 import Purchase, PurchaseItem
    from cartsnitch.shrinkflation.v1 import ShrinkflationEvent
    from cartsnitch_common.db import models

    type Session = AsyncSession | AsyncConnection
    type Parameters = dict[str, Any] | None

    class _Unknown:
        """What no statement selects, but that of which nothing is known, ``Select[Any]``.

        It stands first, because the first that fits is taken: stores, for what is unknown.
        """


BATCH: Final = 2000
"""The messages of a stream that are in memory at once. About 1 MB."""


@overload
async def fetch_messages[R: _Unknown](
    session: Session,
    statement: Select[R],
    parameters: Parameters = ...,
    *,
    with_items: bool = ...,
) -> list[Any]: ...


@overload
async def fetch_messages[R: models.Store](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[Store]: ...


@overload
async def fetch_messages[R: models.StoreLocation](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[StoreLocation]: ...


@overload
async def fetch_messages[R: models.User](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[User]: ...


@overload
async def fetch_messages[R: models.UserStoreAccount](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[UserStoreAccount]: ...


@overload
async def fetch_messages[R: models.NormalizedProduct](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[NormalizedProduct]: ...


@overload
async def fetch_messages[R: models.Purchase](
    session: Session, statement: Select[R], parameters: Parameters = ..., *, with_items: bool = ...
) -> list[Purchase]: ...


@overload
async def fetch_messages[R: models.PurchaseItem](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[PurchaseItem]: ...


@overload
async def fetch_messages[R: models.PriceHistory](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[PriceObservation]: ...


@overload
async def fetch_messages[R: models.Coupon](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[Coupon]: ...


@overload
async def fetch_messages[R: models.ShrinkflationEvent](
    session: Session, statement: Select[R], parameters: Parameters = ...
) -> list[ShrinkflationEvent]: ...
async def fetch_messages(
    session: Session,
    statement: Select[Any],
    parameters: Parameters = None,
    *,
    with_items: bool = False,
) -> list[Any]:
    """Read every message that a statement selects.

    A statement is made ready to be read once. Whoever keeps one, and gives the values
    beside it, reads one row in a third of the time: from the second time on it is the driver
    that runs it, where the session's transaction has begun and nobody listens to what
    SQLAlchemy executes.

    Args:
        session: An asynchronous session, or a connection.
        statement: A SELECT of one mapped entity and nothing else. What it says of loading
            columns and relationships is not followed.
        parameters: The values of its ``bindparam``, by name, as ``execute`` takes them.
        with_items: Whether purchases carry their items, which costs one more query.

    Raises:
        TypeError: The statement selects anything else, or ``with_items`` something that
            has none.
        UnmappableValueError: A row holds a value that the contract cannot carry.
        DatabaseError: The database refused or could not be used.
    """
    return await Reading.of(statement, with_items=with_items).all(session, parameters)


@overload
def stream_messages[R: _Unknown](
    session: Session,
    statement: Select[R],
    *,
    batch_size: int = ...,
    with_items: bool = ...,
) -> AsyncIterator[Any]: ...


@overload
def stream_messages[R: models.Store](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[Store]: ...


@overload
def stream_messages[R: models.StoreLocation](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[StoreLocation]: ...


@overload
def stream_messages[R: models.User](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[User]: ...


@overload
def stream_messages[R: models.UserStoreAccount](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[UserStoreAccount]: ...


@overload
def stream_messages[R: models.NormalizedProduct](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[NormalizedProduct]: ...


@overload
def stream_messages[R: models.Purchase](
    session: Session,
    statement: Select[R],
    *,
    batch_size: int = ...,
    with_items: bool = ...,
) -> AsyncIterator[Purchase]: ...


@overload
def stream_messages[R: models.PurchaseItem](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[PurchaseItem]: ...


@overload
def stream_messages[R: models.PriceHistory](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[PriceObservation]: ...


@overload
def stream_messages[R: models.Coupon](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[Coupon]: ...


@overload
def stream_messages[R: models.ShrinkflationEvent](
    session: Session, statement: Select[R], *, batch_size: int = ...
) -> AsyncIterator[ShrinkflationEvent]: ...
async def stream_messages(
    session: Session,
    statement: Select[Any],
    *,
    batch_size: int = BATCH,
    with_items: bool = False,
) -> AsyncIterator[Any]:
    """Read the messages that a statement selects one after the other; memory stays flat.

    A cursor of the server holds the place. It ends with the transaction: read to the end
    or leave the loop, and commit after that.

    Args:
        session: An asynchronous session, or a connection, in a transaction.
        statement: As in :func:`fetch_messages`.
        batch_size: The messages that are fetched at once; at least 1.
        with_items: As in :func:`fetch_messages`, one more query a batch.

    Raises:
        TypeError: As in :func:`fetch_messages`.
        UnmappableValueError: As in :func:`fetch_messages`.
        DatabaseError: As in :func:`fetch_messages`; also in the midst of the stream, and where
            its transaction has ended, or none was begun.
        InvalidFieldError: ``batch_size`` is less than 1.
    """
    if batch_size < 1:
        raise InvalidFieldError("batch_size", "must be at least 1")
    reading = Reading.of(statement, with_items=with_items)
    async for batch in reading.batches(session, batch_size):
        for message in batch:
            yield message
