"""Every exception of this package, under one root.

A class's docstring is the sentence a person reads when nothing more precise is
known. The facts are attributes, so that callers never parse a message, and the
messages start in lower case because they follow a file name, a setting or a
field path. No message holds a secret or a personal value: a field is named,
its content is not.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence


class CartsnitchError(Exception):
    """something in cartsnitch-common failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else type(self).summary())

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring: what went wrong, in general."""
        return (cls.__doc__ or cls.__name__).splitlines()[0]


# -- the setup: settings and servers ------------------------------------------


class SetupError(CartsnitchError):
    """the environment is not fit to run in."""


class SettingError(SetupError):
    """a setting is missing or refused.

    Attributes:
        setting: The environment variable, such as ``CARTSNITCH_DATABASE_URL``.
        reason: What is wrong with it, without its value.
    """

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


class ServerUnavailableError(SettingError):
    """a server that a setting names cannot be reached or refuses the login."""


class ServerVersionError(SettingError):
    """a server that a setting names is of a version that is not supported.

    Attributes:
        found: The version the server reports.
        needed: The oldest version that is supported.
    """

    def __init__(self, setting: str, *, product: str, found: str, needed: str) -> None:
        super().__init__(setting, f"{product} {found} is too old, {needed} or newer is needed")
        self.found = found
        self.needed = needed


class SchemaVersionError(SettingError):
    """the database's schema is one that this version cannot work with."""


class EmbeddedServerError(SetupError):
    """an embedded server could not be started or stopped.

    Attributes:
        server: ``postgres``, ``valkey``, or ``servers`` for what they share.
        reason: What went wrong, with the server's own last words if it had any.
    """

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(f"embedded {server}: {reason}")
        self.server = server
        self.reason = reason


class MissingExtraError(SetupError):
    """a part of the package is used whose extra is not installed.

    Attributes:
        extra: The name of the extra, such as ``db``.
    """

    def __init__(self, extra: str, module: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'cartsnitch-common[{extra}]'")
        self.extra = extra


# -- input: what somebody handed in is wrong ----------------------------------


class InputError(CartsnitchError):
    """what was handed in is refused."""


class NotJsonError(InputError):
    """the text is not JSON.

    Attributes:
        reason: Where and why reading it failed.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"is not JSON: {reason}")
        self.reason = reason


class InvalidFieldError(InputError):
    """a field holds what it may not.

    Attributes:
        field: The path from the message's root, such as ``items[2].unit_price``;
            empty for the message as a whole.
        reason: What is wrong, without the value.
        rule_id: The id of the contract's rule, the same in every language;
            None when no rule of the contract is concerned.
    """

    def __init__(self, field: str, reason: str, *, rule_id: str | None = None) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason
        self.rule_id = rule_id


class UnmappableValueError(InvalidFieldError):
    """a value cannot be carried from a row to a message, or back.

    The field's path is that of the message, in both directions.
    """


class ReceiptConflictError(InvalidFieldError):
    """a receipt is recorded already, with other content.

    Attributes:
        receipt_id: The retailer's number of the receipt.
    """

    def __init__(self, field: str, receipt_id: str) -> None:
        super().__init__(field, "differs from the receipt that is recorded with this receipt_id")
        self.receipt_id = receipt_id


# -- events -------------------------------------------------------------------


class EventError(CartsnitchError):
    """an event cannot be sent or read."""


class MalformedEnvelopeError(EventError):
    """the bytes are no envelope of this contract."""


class EventTooLargeError(EventError):
    """the event is larger than a channel carries.

    Attributes:
        size: Its size. Unit: bytes.
        limit: The largest size. Unit: bytes.
    """

    def __init__(self, *, size: int, limit: int) -> None:
        super().__init__(f"the event has {size} bytes, at most {limit} are carried")
        self.size = size
        self.limit = limit


class UnknownEventTypeError(EventError):
    """the envelope names an event type that this version does not know.

    Attributes:
        event_type: The type that it names.
    """

    def __init__(self, event_type: str) -> None:
        super().__init__(f"this version does not know the event type {event_type}")
        self.event_type = event_type


class NotAPublisherError(EventError):
    """a service publishes an event that the contract leaves to others.

    Attributes:
        service: The service that tried.
        event_type: What it tried to publish.
    """

    def __init__(self, *, service: str, event_type: str, publishers: list[str]) -> None:
        super().__init__(f"{service} may not publish {event_type}, only {', '.join(publishers)}")
        self.service = service
        self.event_type = event_type


class InboxUnavailableError(EventError):
    """the database that keeps the inbox cannot be used now.

    Attributes:
        reason: Why, without anything that was sent.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the inbox's database cannot be used: {reason}")
        self.reason = reason


# -- rpc ----------------------------------------------------------------------


class InvalidRequestError(InvalidFieldError):
    """a field of the request breaks a rule of the contract.

    Attributes:
        violations: Every rule that is broken; the attributes of this error are the first's.
    """

    def __init__(self, violations: Sequence[InvalidFieldError]) -> None:
        first, more = violations[0], len(violations) - 1
        reason = first.reason + (f" (and {more} more)" if more else "")
        super().__init__(first.field, reason, rule_id=first.rule_id)
        self.violations = tuple(violations)


class ValueNotStorableError(UnmappableValueError):
    """a field of the request keeps the rules, but the database cannot hold it exactly."""


class PageTokenError(InvalidFieldError):
    """the page token is none that this method gave for these fields."""

    def __init__(self, field: str = "page_token") -> None:
        super().__init__(field, "is none that this method gave for these fields")


class NotFoundError(InputError):
    """what a field of the request names does not exist.

    Attributes:
        resource_type: The message that describes it, ``cartsnitch.purchase.v1.Purchase``.
        field: The path of the field that names it.
    """

    def __init__(self, resource_type: str, field: str) -> None:
        super().__init__(f"{field}: names no {resource_type.rpartition('.')[2]} that exists")
        self.resource_type = resource_type
        self.field = field


class CallError(CartsnitchError):
    """a call to a service failed.

    Attributes:
        code: The name of gRPC's status code, such as ``UNAVAILABLE``.
    """

    code = "UNKNOWN"

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        self.code = code if code is not None else type(self).code
        super().__init__(message or (f"the call failed: {code}" if code else None))


class RetryLaterError(CallError):
    """the service asks to call again later.

    Attributes:
        retry_after: Unit: seconds to wait; 0 is at once.
    """

    def __init__(self, *, retry_after: float) -> None:
        super().__init__()
        self.retry_after = retry_after


# -- the database -------------------------------------------------------------


class ConstraintKind(StrEnum):
    """What a constraint of the database demands of rows."""

    UNIQUE = "unique"
    FOREIGN_KEY = "foreign_key"
    CHECK = "check"
    NOT_NULL = "not_null"
    EXCLUSION = "exclusion"


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


_BROKEN: Final = {
    ConstraintKind.UNIQUE: "there is such a row already",
    ConstraintKind.FOREIGN_KEY: "the parent row does not exist, or has children still",
    ConstraintKind.CHECK: "a value is out of the range that is checked",
    ConstraintKind.NOT_NULL: "must not be null",
    ConstraintKind.EXCLUSION: "the row conflicts with another one",
}


class DataRefusedError(DatabaseError, InputError):
    """a value does not fit the type of its column or of its parameter."""


class DecryptionError(CartsnitchError):
    """an encrypted value cannot be decrypted: it was altered or moved, or its key is missing.

    Which of them is not said, because who may write the value might learn from it.

    Attributes:
        place: The column and the row, such as ``user_store_accounts.session_data of <id>``.
    """

    def __init__(self, place: str) -> None:
        super().__init__(f"{place}: cannot be decrypted")
        self.place = place


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
