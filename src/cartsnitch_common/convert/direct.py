"""A kept statement on asyncpg's own connection, in the session's transaction.

SQLAlchemy's way through an execution takes longer than to find one row. It is left out where
nothing of it would be missed; every doubt, and every value that is not liked, is left to it:

* the session has nothing to flush, and its transaction has begun at the server;
* nobody listens to what SQLAlchemy executes, as tracing does, and it writes no log of it;
* no option changes the statement, and it is the same text for all values.

What fails is handed to SQLAlchemy, which does with it as with its own: events, errors,
connections that are lost.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import inspect
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Dialect, Select
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    from cartsnitch_common.db.models import Base

    type Parameters = dict[str, Any] | None

_OF_TRANSACTIONS: Final = frozenset(
    {"isolation_level", "postgresql_deferrable", "postgresql_readonly"}
)
"""The execution options that say how a transaction begins, and nothing of a statement."""


class Direct:
    """A statement that may be run past SQLAlchemy's execution from its second time on.

    To compile it for the driver takes longer than a run, and most statements have one only.
    """

    def __init__(self, statement: Select[Any], row: type[Base]) -> None:
        """Compile nothing yet.

        Args:
            statement: A SELECT.
            row: The model by which the session chooses its database.
        """
        self._statement = statement
        self._mapper = inspect(row)
        self._ran = False
        self._queries: WeakKeyDictionary[Dialect, _Query | None] = WeakKeyDictionary()

    async def fetch(self, session: AsyncSession, parameters: Parameters) -> Sequence[Any] | None:
        """The driver's records; None where SQLAlchemy is to run the statement."""
        if not self._ran:
            self._ran = True
            return None
        connection = self._at_hand(session.sync_session)
        if connection is None or not _is_plain(connection):
            return None
        query = self._query(connection.dialect)
        arguments = None if query is None else query.arguments(parameters or {})
        if query is None or arguments is None:
            return None
        pooled = connection.connection
        driver: Any = pooled.driver_connection
        shared: Any = pooled.dbapi_connection
        try:
            async with shared._execute_mutex:  # noqa: SLF001 - two tasks on one session take turns there
                if not driver.is_in_transaction():
                    return None
                records: Sequence[Any] = await driver.fetch(query.sql, *arguments)
                return records
        except BaseException as error:
            await session.run_sync(raise_theirs, connection, query.sql, error)
            raise

    def _at_hand(self, session: Session) -> Connection | None:
        """The connection of the session's transaction, if to get it waits for nothing."""
        transaction = session.get_transaction()
        bound = getattr(transaction, "bound_connection", None)  # since SQLAlchemy 2.1.7
        if bound is None or session.in_nested_transaction():
            return None
        if session.autoflush and (session.new or session.dirty or session.deleted):
            return None
        try:
            bound(self._mapper)
        except InvalidRequestError:
            return None
        # Unlike the other, it asks whether the session may be used.
        return session.connection(bind_arguments={"mapper": self._mapper})

    def _query(self, dialect: Dialect) -> _Query | None:
        if dialect not in self._queries:
            self._queries[dialect] = _Query.of(self._statement, dialect)
        return self._queries[dialect]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Query:
    """A statement as the driver takes it.

    Attributes:
        sql: Its text.
        keys: The names of its parameters in the driver's order.
        values: The values that it has of its own.
        processors: What SQLAlchemy does with a value before the driver gets it, by its place.
    """

    sql: str
    keys: tuple[str, ...]
    values: dict[str, Any]
    processors: tuple[tuple[int, Callable[[Any], Any]], ...]

    @classmethod
    def of(cls, statement: Select[Any], dialect: Dialect) -> _Query | None:
        """Compile a statement; None if its text or its values follow from more than values."""
        if dialect.driver != "asyncpg" or statement.get_execution_options():
            return None
        compiled: Any = statement.compile(dialect=dialect)
        if (
            compiled.post_compile_params
            or compiled.literal_execute_params
            or compiled.escaped_bind_names
        ):
            return None
        bound = [compiled.binds[name] for name in compiled.positiontup]
        if any(one.callable is not None for one in bound):
            return None
        made = [one.type.dialect_impl(dialect).bind_processor(dialect) for one in bound]
        return cls(
            sql=str(compiled),
            keys=tuple(one.key for one in bound),
            values={one.key: one.value for one in bound if not one.required},
            processors=tuple((place, each) for place, each in enumerate(made) if each is not None),
        )

    def arguments(self, parameters: dict[str, Any]) -> list[Any] | None:
        """The values in the driver's order; None where SQLAlchemy is to say what is wrong."""
        values = self.values | parameters
        try:
            arguments = [values[key] for key in self.keys]
            for place, process in self.processors:
                arguments[place] = process(arguments[place])
        except Exception:  # noqa: BLE001 - whatever it is, SQLAlchemy comes upon it too
            return None
        return arguments


def _is_plain(connection: Connection) -> bool:
    """Whether SQLAlchemy would do no more than to run a statement in a transaction."""
    listeners: Any = connection.dispatch
    drivers: Any = connection.dialect.dispatch
    return (
        connection.get_nested_transaction() is None
        and connection.get_execution_options().keys() <= _OF_TRANSACTIONS
        and not listeners.before_cursor_execute
        and not listeners.after_cursor_execute
        and not listeners.before_execute
        and not listeners.after_execute
        and not drivers.do_execute
        and not connection.engine.logger.isEnabledFor(logging.INFO)
    )


def raise_theirs(_: Session, connection: Connection, sql: str, error: BaseException) -> None:
    """Raise what SQLAlchemy raises for a driver's error, or for a task's cancellation.

    There is no public way to tell it of one. Without it the pool would keep a connection
    that is lost, and whoever listens to errors would not hear of this one.
    """
    shared: Any = connection.connection.dbapi_connection
    try:
        if isinstance(error, Exception):
            shared._handle_exception(error)  # noqa: SLF001 - raises it as the dialect's error
        raise error  # noqa: TRY301 - what it is handed to asks for the exception in hand
    except BaseException as theirs:  # noqa: BLE001 - raised again by what it is handed to
        known = isinstance(theirs, AsyncAdapt_asyncpg_dbapi.Error)
        # As in an execution, only a driver's own error is wrapped in one of SQLAlchemy's.
        connection._handle_dbapi_exception(theirs, sql if known else None, None, None, None)  # noqa: SLF001
