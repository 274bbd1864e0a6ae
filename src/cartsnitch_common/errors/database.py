"""What the database refuses, and a database that cannot be used."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from cartsnitch_common.errors.calls import RetryLaterError
from cartsnitch_common.errors.input import InputError
from cartsnitch_common.errors.root import CartsnitchError


class ConstraintKind(StrEnum):
    """What a constraint of the database demands of rows."""

    UNIQUE = "unique"
    FOREIGN_KEY = "foreign_key"
    CHECK = "check"
    NOT_NULL = "not_null"
    EXCLUSION = "exclusion"


_BROKEN: Final = {
    ConstraintKind.UNIQUE: "there is such a row already",
    ConstraintKind.FOREIGN_KEY: "the parent row does not exist, or has children still",
    ConstraintKind.CHECK: "a value is out of the range that is checked",
    ConstraintKind.NOT_NULL: "must not be null",
    ConstraintKind.EXCLUSION: "the row conflicts with another one",
}


class DatabaseError(CartsnitchError):
    """the database refuses what was asked, or cannot be used now.

    It stands in the place of the driver's error, which may quote a row.

    Attributes:
        sqlstate: PostgreSQL's code for what happened, such as ``23505``; None
            when the failure is not the server's own.
    """

    sqlstate: str | None = None


class ConstraintViolationError(DatabaseError, InputError):
    """a row breaks a constraint of the database.

    Attributes:
        kind: What the constraint demands; None where a trigger did not say it.
        constraint: Its name. None for a column that must not be null.
        table: The table that it belongs to, if the server says so. For a foreign
            key this is the child, also where a parent cannot be deleted.
        column: The column that must not be null, None for other kinds.
    """

    def __init__(
        self,
        *,
        kind: ConstraintKind | None = None,
        constraint: str | None = None,
        table: str | None = None,
        column: str | None = None,
    ) -> None:
        name = constraint or ".".join(part for part in (table, column) if part)
        what = "breaks a constraint" if kind is None else _BROKEN[kind]
        super().__init__(f"{name}: {what}" if name else what)
        self.kind = kind
        self.constraint = constraint
        self.table = table
        self.column = column


class DataRefusedError(DatabaseError, InputError):
    """a value does not fit the type of its column or of its parameter."""


class AccessDeniedError(DatabaseError):
    """the database's user lacks a right: another service owns the table."""


class ReadOnlyError(DatabaseError):
    """a session that only reads tried to write."""


class TimeLimitError(DatabaseError):
    """a statement or a transaction took longer than it may, and was rolled back."""


class TransactionAbortedError(DatabaseError, RetryLaterError):
    """the transaction met another one and was rolled back; nothing was written."""

    code = "ABORTED"

    def __init__(self, *, retry_after: float = 0.0) -> None:
        super().__init__(retry_after=retry_after)


class DatabaseUnavailableError(DatabaseError, RetryLaterError):
    """the service cannot use its database now; what was asked may have been done.

    Attributes:
        reason: Why, without password and URL, for the service's own log and never
            sent; None when another service told of its database.
    """

    code = "UNAVAILABLE"

    def __init__(self, *, retry_after: float = 1.0, reason: str | None = None) -> None:
        super().__init__(retry_after=retry_after)
        self.reason = reason
        if reason is not None:
            self.add_note(reason)


class DecryptionError(CartsnitchError):
    """an encrypted value cannot be decrypted: it was altered or moved, or its key is missing.

    Which of them is not said, because who may write the value might learn from it.

    Attributes:
        place: The column and the row, such as ``user_store_accounts.session_data of <id>``.
    """

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: cannot be decrypted")
        self.place = place
