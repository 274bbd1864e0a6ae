"""Every exception of this package, under one root.

A class's docstring is the sentence a person reads when nothing more precise is
known. The facts are attributes, so that callers never parse a message, and the
messages start in lower case because they follow a file name, a setting or a
field path. No message holds a secret or a personal value: a field is named,
its content is not.
"""

from __future__ import annotations

from cartsnitch_common.errors.calls import (
    CallError,
    RetryLaterError,
)
from cartsnitch_common.errors.database import (
    AccessDeniedError,
    ConstraintKind,
    ConstraintViolationError,
    DatabaseError,
    DatabaseUnavailableError,
    DataRefusedError,
    DecryptionError,
    ReadOnlyError,
    TimeLimitError,
    TransactionAbortedError,
)
from cartsnitch_common.errors.events import (
    EventError,
    EventInDoubtError,
    EventsNotPublishedError,
    EventTooLargeError,
    InboxUnavailableError,
    MalformedEnvelopeError,
    NotAPublisherError,
    UnknownEventTypeError,
)
from cartsnitch_common.errors.input import (
    InputError,
    InvalidFieldError,
    InvalidRequestError,
    NotFoundError,
    NotJsonError,
    PageTokenError,
    ReceiptConflictError,
    UnmappableValueError,
    ValueNotStorableError,
)
from cartsnitch_common.errors.root import (
    CartsnitchError,
)
from cartsnitch_common.errors.setup import (
    EmbeddedServerError,
    MissingExtraError,
    SchemaVersionError,
    ServerUnavailableError,
    ServerVersionError,
    SettingError,
    SetupError,
)

__all__ = [
    "AccessDeniedError",
    "CallError",
    "CartsnitchError",
    "ConstraintKind",
    "ConstraintViolationError",
    "DataRefusedError",
    "DatabaseError",
    "DatabaseUnavailableError",
    "DecryptionError",
    "EmbeddedServerError",
    "EventError",
    "EventInDoubtError",
    "EventTooLargeError",
    "EventsNotPublishedError",
    "InboxUnavailableError",
    "InputError",
    "InvalidFieldError",
    "InvalidRequestError",
    "MalformedEnvelopeError",
    "MissingExtraError",
    "NotAPublisherError",
    "NotFoundError",
    "NotJsonError",
    "PageTokenError",
    "ReadOnlyError",
    "ReceiptConflictError",
    "RetryLaterError",
    "SchemaVersionError",
    "ServerUnavailableError",
    "ServerVersionError",
    "SettingError",
    "SetupError",
    "TimeLimitError",
    "TransactionAbortedError",
    "UnknownEventTypeError",
    "UnmappableValueError",
    "ValueNotStorableError",
]
