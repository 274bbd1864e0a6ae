"""The contract's reasons and our exceptions: one table, for both directions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import grpc

from cartsnitch_common import errors
from cartsnitch_common.constants import ErrorReason
from cartsnitch_common.rpc import failures

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an error says, between its class and its status.

    Attributes:
        metadata: That of the ErrorInfo.
        violations: The path and the description of each refused field.
        retry_after: Unit: seconds; None where nothing is said of trying again.
    """

    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None

    def __getitem__(self, key: str) -> str:
        return self.metadata.get(key, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """One reason: its class, its code, and a pair of conversions.

    Attributes:
        kind: The exception.
        reason: The contract's reason.
        code: gRPC's status code, as the contract says it beside the reason.
        write: What an exception of the class says.
        read: The exception that says it.
    """

    kind: type[errors.CartsnitchError]
    reason: ErrorReason
    code: grpc.StatusCode
    write: Callable[[Any], Facts]
    read: Callable[[Facts], errors.CartsnitchError]


def _write_invalid(error: errors.InvalidRequestError) -> Facts:
    rule = {"rule_id": error.rule_id} if error.rule_id else {}
    return Facts(
        metadata={"field": error.field, **rule},
        violations=tuple((one.field, one.reason) for one in error.violations),
    )


def _read_invalid(facts: Facts) -> errors.InvalidRequestError:
    first, *more = facts.violations or ((facts["field"], "is refused"),)
    rule = facts.metadata.get("rule_id")
    return errors.InvalidRequestError(
        [
            errors.InvalidFieldError(*first, rule_id=rule),
            *(errors.InvalidFieldError(*one) for one in more),
        ]
    )


def _write_field(error: errors.InvalidFieldError) -> Facts:
    return Facts(metadata={"field": error.field}, violations=((error.field, error.reason),))


def _read_not_storable(facts: Facts) -> errors.ValueNotStorableError:
    path, reason = (facts.violations or ((facts["field"], "cannot be stored"),))[0]
    return errors.ValueNotStorableError(path, reason)


def _metadata(*names: str) -> Callable[[Any], Facts]:
    return lambda error: Facts(metadata={name: getattr(error, name) for name in names})


FORMS: Final = (
    Form(
        kind=errors.InvalidRequestError,
        reason=ErrorReason.INVALID_FIELD,
        code=grpc.StatusCode.INVALID_ARGUMENT,
        write=_write_invalid,
        read=_read_invalid,
    ),
    Form(
        kind=errors.ValueNotStorableError,
        reason=ErrorReason.VALUE_NOT_STORABLE,
        code=grpc.StatusCode.INVALID_ARGUMENT,
        write=_write_field,
        read=_read_not_storable,
    ),
    Form(
        kind=errors.PageTokenError,
        reason=ErrorReason.PAGE_TOKEN_REFUSED,
        code=grpc.StatusCode.INVALID_ARGUMENT,
        write=_write_field,
        read=lambda facts: errors.PageTokenError(facts["field"]),
    ),
    Form(
        kind=errors.NotFoundError,
        reason=ErrorReason.RESOURCE_NOT_FOUND,
        code=grpc.StatusCode.NOT_FOUND,
        write=_metadata("field", "resource_type"),
        read=lambda facts: errors.NotFoundError(facts["resource_type"], facts["field"]),
    ),
    Form(
        kind=errors.ReceiptConflictError,
        reason=ErrorReason.RECEIPT_CONFLICT,
        code=grpc.StatusCode.ALREADY_EXISTS,
        write=_metadata("field", "receipt_id"),
        read=lambda facts: errors.ReceiptConflictError(facts["field"], facts["receipt_id"]),
    ),
    Form(
        kind=failures.AccountExpiredError,
        reason=ErrorReason.ACCOUNT_EXPIRED,
        code=grpc.StatusCode.FAILED_PRECONDITION,
        write=_metadata("user_store_account_id"),
        read=lambda facts: failures.AccountExpiredError(facts["user_store_account_id"]),
    ),
    Form(
        kind=failures.SyncTooSoonError,
        reason=ErrorReason.SYNC_TOO_SOON,
        code=grpc.StatusCode.RESOURCE_EXHAUSTED,
        write=lambda error: Facts(
            metadata={"user_store_account_id": error.user_store_account_id},
            retry_after=error.retry_after,
        ),
        read=lambda facts: failures.SyncTooSoonError(
            facts["user_store_account_id"], retry_after=facts.retry_after or 0.0
        ),
    ),
    Form(
        kind=failures.UnauthenticatedError,
        reason=ErrorReason.CALLER_NOT_AUTHENTICATED,
        code=grpc.StatusCode.UNAUTHENTICATED,
        write=_metadata(),  # never why
        read=lambda _: failures.UnauthenticatedError(),
    ),
    Form(
        kind=errors.TransactionAbortedError,
        reason=ErrorReason.TRANSACTION_ABORTED,
        code=grpc.StatusCode.ABORTED,
        write=lambda error: Facts(retry_after=error.retry_after),
        read=lambda facts: errors.TransactionAbortedError(retry_after=facts.retry_after or 0.0),
    ),
    Form(
        kind=errors.DatabaseUnavailableError,
        reason=ErrorReason.DATABASE_UNAVAILABLE,
        code=grpc.StatusCode.UNAVAILABLE,
        write=lambda error: Facts(retry_after=error.retry_after),
        read=lambda facts: errors.DatabaseUnavailableError(retry_after=facts.retry_after or 0.0),
    ),
    Form(
        kind=failures.InternalError,
        reason=ErrorReason.INTERNAL,
        code=grpc.StatusCode.INTERNAL,
        write=_metadata("incident_id"),
        read=lambda facts: failures.InternalError(facts["incident_id"]),
    ),
)
