"""Messages into the database by binary COPY; no row is made between."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import inspect
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.convert.binary import SIGNATURE, TRAILER
from cartsnitch_common.convert.direct import raise_theirs
from cartsnitch_common.convert.registry import mapping_of_message
from cartsnitch_common.db.driver_errors import database_errors
from cartsnitch_common.errors import DatabaseError, InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from google.protobuf.message import Message
    from sqlalchemy.ext.asyncio import AsyncConnection

    from cartsnitch_common.convert.mapping import Mapping

_BATCH: Final = 25_000
"""The messages of one COPY. With fewer, the trigger of current prices writes the same rows
more often: 10,000 take the server a tenth more, 100,000 no less."""

_BATCH_WITH_CHILDREN: Final = 1000
"""The messages of one COPY where each brings rows of another table."""

_SLICE: Final = 500
"""The messages that are encoded at once; the server works on those before them meanwhile.

So many are checked before the first SQL: there is nothing that the server could do meanwhile."""


async def copy_messages(
    session: AsyncSession | AsyncConnection, messages: Iterable[Message] | AsyncIterable[Message]
) -> int:
    """Write messages of one type into their table, in the caller's transaction.

    Each is checked against the rules of the contract. Purchases bring their items. All are
    written or none: a savepoint stands around them, so that after an error the transaction
    is as it was before, and goes on. The first 500 are checked before any SQL runs; a later
    one that is wrong ends the COPY, and the savepoint undoes it.

    Args:
        session: An asynchronous session, or a connection, with a transaction.
        messages: Any number of them, also asynchronous; memory stays flat.

    Returns:
        How many messages were written.

    Raises:
        InvalidFieldError: A message breaks a rule of the contract; the field's path begins
            with its place, ``messages[17].unit_price``.
        UnmappableValueError: It holds a value that the column cannot hold; named the same.
        TypeError: The messages are of several types, or of one that has no table.
        ConstraintViolationError: The database refuses a row: a duplicate, a missing parent.
        DatabaseError: It could not be used.
    """
    batches = _batches(messages)
    first = await anext(batches, None)
    if first is None:
        return 0
    mapping = mapping_of_message(type(first[0]))
    streams = _streams(mapping, first, 0)
    written = len(first)
    async with session.begin_nested():
        await _copy(session, streams)
        async for batch in batches:
            await _copy(session, _streams(mapping, batch, written))
            written += len(batch)
    return written


async def _batches(
    messages: Iterable[Message] | AsyncIterable[Message],
) -> AsyncIterator[list[Message]]:
    """Messages in lists of one COPY each; none is empty."""
    batch: list[Message] = []
    limit = 0
    async for message in _each(messages):
        limit = limit or _limit(message)
        batch.append(message)
        if len(batch) == limit:
            yield batch
            batch = []
    if batch:
        yield batch


async def _each(
    messages: Iterable[Message] | AsyncIterable[Message],
) -> AsyncIterator[Message]:
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
    else:
        for message in messages:
            yield message


def _limit(message: Message) -> int:
    children = mapping_of_message(type(message)).children
    return _BATCH if children is None else _BATCH_WITH_CHILDREN


def _streams(
    mapping: Mapping[Any, Any], batch: list[Message], before: int
) -> list[tuple[Mapping[Any, Any], _Stream]]:
    """What a batch is for its table and for its children's; their first slices are encoded.

    ``before`` messages were written before.
    """
    found = [(mapping, _Stream(mapping, mapping.copy_row, batch, before))]
    if mapping.children is not None:
        rows = mapping.copy_children
        children = _Stream(mapping, lambda message: b"".join(rows(message)), batch, before)
        found.append((mapping.children, children))
    return found


async def _copy(
    session: AsyncSession | AsyncConnection, streams: list[tuple[Mapping[Any, Any], _Stream]]
) -> None:
    connection = session
    for mapping, stream in streams:
        if isinstance(session, AsyncSession):
            connection = await session.connection(bind_arguments={"mapper": inspect(mapping.row)})
        await _copy_table(connection, mapping, stream)


async def _copy_table(connection: Any, mapping: Mapping[Any, Any], stream: _Stream) -> None:
    raw = await connection.get_raw_connection()
    table = mapping.row.__table__
    try:
        with database_errors():
            try:
                await raw.driver_connection.copy_to_table(
                    table.name,
                    schema_name=table.schema,
                    columns=[table.c[pair.column].name for pair in mapping.pairs],
                    format="binary",
                    source=stream.chunks(),
                )
            except Exception as error:  # noqa: BLE001 - the next line raises it
                # So that the engine hears of it, which gives up what is lost or only reads.
                sync = connection.sync_connection
                await connection.run_sync(raise_theirs, sync, f"COPY {table.name}", error)
    except DatabaseError:
        # What is wrong with a message says more than what the server made of those before.
        if stream.error is None:
            raise
    if stream.error is not None:
        raise stream.error


class _Stream:
    """The bytes of a COPY, encoded while the server works on what it has.

    Attributes:
        error: Why the stream ended early. To raise in the midst of a COPY would make the
            driver cancel it from another connection; it ends well and is rolled back.
    """

    def __init__(
        self,
        mapping: Mapping[Any, Any],
        encode: Callable[[Any], bytes],
        batch: Sequence[Message],
        before: int,
    ) -> None:
        """Encode the first slice, and raise what is wrong with it."""
        self.error: Exception | None = None
        self._kind = mapping.message
        self._encode = encode
        self._batch = batch
        self._before = before
        self._first = self._encoded(0)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The stream in chunks of some hundred rows."""
        yield SIGNATURE + self._first
        for start in range(_SLICE, len(self._batch), _SLICE):
            try:
                encoded = self._encoded(start)
            except (InvalidFieldError, TypeError) as error:
                self.error = error
                break
            yield encoded
        yield TRAILER

    def _encoded(self, start: int) -> bytes:
        """A slice in bytes; an error names the message by its place."""
        encoded: list[bytes] = []
        try:
            for message in self._batch[start : start + _SLICE]:
                if message.__class__ is not self._kind:
                    raise TypeError(f"is no {self._kind.__name__}")  # noqa: TRY301 - below it gets its place
                encoded.append(self._encode(message))
        except (InvalidFieldError, TypeError) as error:
            raise _placed(error, self._before + start + len(encoded)) from None
        return b"".join(encoded)


def _placed(error: InvalidFieldError | TypeError, index: int) -> Exception:
    place = f"messages[{index}]"
    if isinstance(error, InvalidFieldError):
        path = f"{place}.{error.field}" if error.field else place
        return type(error)(path, error.reason, rule_id=error.rule_id)
    return TypeError(f"{place} {error}")
