"""The errors of SQLAlchemy, asyncpg and psycopg as ours.

Every engine of this package raises ours. Code that talks to asyncpg itself holds
``database_errors()`` around it::

    with database_errors():
        await driver_connection.copy_records_to_table(...)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cartsnitch_common.db.drivers import asyncpg_classes, psycopg_classes
from cartsnitch_common.db.failures import connection_failure, is_lost, sqlstate_of
from cartsnitch_common.errors import (
    AccessDeniedError,
    ConstraintKind,
    ConstraintViolationError,
    DatabaseError,
    DatabaseUnavailableError,
    DataRefusedError,
    ReadOnlyError,
    TimeLimitError,
    TransactionAbortedError,
)

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_KINDS: Final = {
    "23001": ConstraintKind.FOREIGN_KEY,  # ON DELETE RESTRICT, from PostgreSQL 18 on
    "23502": ConstraintKind.NOT_NULL,
    "23503": ConstraintKind.FOREIGN_KEY,
    "23505": ConstraintKind.UNIQUE,
    "23514": ConstraintKind.CHECK,
    "23P01": ConstraintKind.EXCLUSION,
}
_ONLY_READS: Final = "25006"
_MEANINGS: Final[tuple[tuple[tuple[str, ...], type[DatabaseError]], ...]] = (
    (("22", "54"), DataRefusedError),
    (("40", "55P03"), TransactionAbortedError),
    (("42501",), AccessDeniedError),
    (("57014", "25P03", "25P04"), TimeLimitError),
)
"""By the beginning of the SQLSTATE. Classes: data, program limits, rollbacks."""

_UNFIT: Final = ("08", "28", "3D", "53", "57P", "58")
"""The server is unfit: no connection, login or database, no memory or disk, stopping."""

_TEXTS: Final = frozenset(
    {"context", "detail", "hint", "internal_query", "message", "params", "query", "statement"}
)
"""The attributes of drivers' errors that a message is put together from."""

_UNSENDABLE: Final[tuple[type[Exception], ...]] = (
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
)
"""What SQLAlchemy meets when it makes a value ready to be sent."""


def database_error(
    error: BaseException, *, lost: bool = False, read_only: bool = False
) -> DatabaseError | None:
    """Say in our words what a driver's error means. A pure function.

    Args:
        error: An error of SQLAlchemy, asyncpg or psycopg.
        lost: Whether the connection is known to be lost by it.
        read_only: Whether the session was asked only to read. Without it, a server
            that refuses to write has lost its place to another one.

    Returns:
        Ours, or None if the error is none of the database's state and data, but of
        the program: SQL that is wrong, a statement within a failed transaction.
    """
    if isinstance(error, DatabaseError):
        return error
    lost = lost or (isinstance(error, DBAPIError) and error.connection_invalidated)
    driver = _driver_error(error)
    state = sqlstate_of(driver)
    ours = _without_state(error, driver, lost=lost)
    if state is not None:
        ours = _with_state(driver, state, read_only=read_only) or ours
    if ours is not None:
        ours.sqlstate = state
    return ours


def as_ours(error: Exception) -> Exception:
    """A driver's error as ours, any other as it is; for ``rpc.Server(translate=...)``."""
    return database_error(error) or error


def database_errors() -> AbstractContextManager[None]:
    """Raise ours in the place of the driver's errors, around code that uses a driver itself.

    Raises:
        DatabaseError: The driver's error had a meaning of its own.
    """
    return _DATABASE_ERRORS


class _DatabaseErrors:
    """Without a generator, which costs as much as some of what it is held around."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if not isinstance(error, Exception) or isinstance(error, DatabaseError):
            return
        ours = database_error(error, lost=isinstance(error, ConnectionError))
        if ours is not None:
            blank(error)
            raise ours from None


_DATABASE_ERRORS: Final = _DatabaseErrors()


def blank(error: BaseException) -> None:
    """Take the texts out of a driver's error, and of those that it came from.

    Python prints what an error was raised from, and loggers go through causes on
    their own, so the only text that is never seen is one that is not there.
    """
    drivers = _driver_classes()
    quoting = (*drivers, *_UNSENDABLE)
    seen: set[int] = set()
    found: list[Any] = [error]
    while found:
        each = found.pop()
        if id(each) in seen or not isinstance(each, quoting):
            continue
        seen.add(id(each))
        found += [getattr(each, "orig", None), each.__cause__]
        if isinstance(each.__context__, drivers):  # else it is what the caller was handling
            found.append(each.__context__)
        each.args = (type(each).__name__,)
        nothing: Any = [] if isinstance(each, StatementError) else None
        vars(each).update(dict.fromkeys(_TEXTS & vars(each).keys(), nothing))


def _driver_classes() -> tuple[type[Exception], ...]:
    return (
        StatementError,
        AsyncAdapt_asyncpg_dbapi.Error,
        *asyncpg_classes("PostgresError", "InterfaceError", "InternalClientError"),
        *psycopg_classes("Error"),
    )


def _driver_error(error: BaseException) -> BaseException:
    """The driver's own error, out of SQLAlchemy's wrappings."""
    if isinstance(error, StatementError) and error.orig is not None:
        error = error.orig
    if isinstance(error, AsyncAdapt_asyncpg_dbapi.Error) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _with_state(driver: BaseException, state: str, *, read_only: bool) -> DatabaseError | None:
    if state.startswith("23"):
        return _violation(driver, state)
    if state == _ONLY_READS and read_only:
        return ReadOnlyError()
    if isinstance(driver, asyncpg_classes("InvalidCachedStatementError")):
        # A migration changed a type; the next time the statement is prepared anew.
        return TransactionAbortedError()
    for beginnings, kind in _MEANINGS:
        if state.startswith(beginnings):
            return kind()
    if is_lost(state) or state.startswith(_UNFIT):
        return DatabaseUnavailableError(reason=connection_failure(driver))
    return None


def _without_state(
    error: BaseException, driver: BaseException, *, lost: bool
) -> DatabaseError | None:
    if lost or isinstance(error, PoolTimeoutError) or _is_closed(driver):
        return DatabaseUnavailableError(reason=connection_failure(driver))
    if isinstance(driver, asyncpg_classes("DataError") + psycopg_classes("DataError")):
        return DataRefusedError()
    if isinstance(error, StatementError) and not isinstance(error, DBAPIError):
        # The value got no further than to what makes it ready to be sent.
        return DataRefusedError() if isinstance(driver, _UNSENDABLE) else None
    return None


def _is_closed(driver: BaseException) -> bool:
    if isinstance(driver, psycopg_classes("OperationalError")):
        return sqlstate_of(driver) is None
    if isinstance(driver, asyncpg_classes("InternalClientError")):
        # A connection that was cut in the midst of an answer, as asyncpg meets it at times.
        return True
    # asyncpg has no class for it, and also says "another operation is in progress" this way.
    return isinstance(driver, asyncpg_classes("InterfaceError")) and "closed" in str(driver)


def _violation(driver: BaseException, state: str) -> ConstraintViolationError:
    facts = getattr(driver, "diag", driver)  # psycopg's, asyncpg's
    kind = _KINDS.get(state)
    column = getattr(facts, "column_name", None)
    return ConstraintViolationError(
        kind=kind,
        constraint=getattr(facts, "constraint_name", None),
        table=getattr(facts, "table_name", None),
        column=column if kind is ConstraintKind.NOT_NULL else None,
    )
