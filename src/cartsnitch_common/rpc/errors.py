"""Our exceptions as ``google.rpc.Status``, and back.

Only what the table in ``reasons`` names is sent. Everything else is a defect of the service:
the caller learns an incident's id, and the service's log the rest.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, ResourceInfo, RetryInfo
from google.rpc.status_pb2 import Status

from cartsnitch_common import errors
from cartsnitch_common.rpc import failures
from cartsnitch_common.rpc.reasons import FORMS, Facts, Form

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cartsnitch_common.constants import ErrorReason

DOMAIN: Final = "cartsnitch"
"""The domain of every reason of the contract."""

STATUS_KEY: Final = "grpc-status-details-bin"
"""Where gRPC carries the ``google.rpc.Status``, in every language."""

_PREFIX: Final = "ERROR_REASON_"
_NANOS: Final = 1_000_000_000
_MOST_VIOLATIONS: Final = 4096
"""Clients refuse trailers from 8 KiB on, and then know nothing at all. Unit: bytes."""


@cache
def _by_kind() -> dict[type, Form]:
    return {form.kind: form for form in FORMS}


@cache
def _by_reason() -> dict[str, Form]:
    return {_PREFIX + form.reason.name: form for form in FORMS}


@cache
def _codes() -> dict[int, str]:
    return {code.value[0]: code.name for code in grpc.StatusCode}


def _form_of(error: BaseException) -> Form | None:
    found = (_by_kind().get(kind) for kind in type(error).__mro__)
    return next((form for form in found if form is not None), None)


def is_answer(error: BaseException) -> bool:
    """Whether an error may be sent as it is.

    One that another service answered with is not: to our caller it would speak
    of a request or a token that is not the caller's.
    """
    return _form_of(error) is not None and not isinstance(error.__cause__, grpc.RpcError)


def reason_of(error: BaseException) -> ErrorReason | None:
    """The contract's reason for an error, or None if it has none."""
    form = _form_of(error)
    return form.reason if form is not None else None


def to_status(error: errors.CartsnitchError) -> Status:
    """Render an error as a status with its details.

    Raises:
        TypeError: The contract has no reason for errors of this class.
    """
    form = _form_of(error)
    if form is None:
        raise TypeError(f"{type(error).__name__} has no reason in the contract")
    facts = form.write(error)
    status = Status(code=form.code.value[0], message=str(error))
    info = ErrorInfo(reason=_PREFIX + form.reason.name, domain=DOMAIN, metadata=facts.metadata)
    status.details.add().Pack(info)
    if facts.violations:
        bad = BadRequest()
        for path, reason in facts.violations:
            bad.field_violations.add(field=path, description=reason)
            if bad.ByteSize() > _MOST_VIOLATIONS:
                break
        status.details.add().Pack(bad)
    if "resource_type" in facts.metadata:
        resource = ResourceInfo(resource_type=facts["resource_type"])
        status.details.add().Pack(resource)
    if facts.retry_after is not None:
        seconds, nanos = divmod(round(facts.retry_after * _NANOS), _NANOS)
        delay = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
        status.details.add().Pack(delay)
    return status


def from_status(status: Status) -> errors.CartsnitchError:
    """Make our exception of a status. It is returned, not raised.

    A reason that this version does not know is an ``UnknownReasonError``; a
    status without one of ours comes from gRPC itself and goes by its code.
    """
    code = _codes().get(status.code, "UNKNOWN")
    info, facts = _unpack(status)
    if info is not None and info.domain == DOMAIN:
        form = _by_reason().get(info.reason)
        if form is None:
            return failures.UnknownReasonError(code=code, reason=info.reason)
        return form.read(facts)
    match code:
        case "DEADLINE_EXCEEDED":
            return failures.DeadlineError()
        case "UNAVAILABLE":
            return failures.ServiceUnavailableError()
        case _:
            return errors.CallError(code=code)


def _unpack(status: Status) -> tuple[ErrorInfo | None, Facts]:
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    has_info = _unpack_into(info, status)
    _unpack_into(bad, status)
    has_delay = _unpack_into(retry, status)
    delay = retry.retry_delay
    facts = Facts(
        metadata=dict(info.metadata),
        violations=tuple((one.field, one.description) for one in bad.field_violations),
        retry_after=delay.seconds + delay.nanos / _NANOS if has_delay else None,
    )
    return (info if has_info else None), facts


def _unpack_into(kind: Any, status: Status) -> bool:
    """Fill a message from the first detail of its type; False if there is none."""
    try:
        return any(detail.Unpack(kind) for detail in status.details if detail.Is(kind.DESCRIPTOR))
    except DecodeError:
        return False


def to_trailing_metadata(status: Status) -> tuple[tuple[str, bytes]]:
    """What gRPC sends beside the code and the message of a status.

    Not with it: ``grpc-retry-pushback-ms``, RetryInfo for gRPC's own policy. A
    caller that gets it neither tries again nor fails before its deadline, and
    with grpcio 1.80 not even then (tried).
    """
    return ((STATUS_KEY, status.SerializeToString()),)


def from_rpc_error(error: grpc.RpcError) -> errors.CartsnitchError:
    """Make our exception of gRPC's, of the asynchronous and the synchronous stubs."""
    call: Any = error
    status = Status(code=call.code().value[0])
    metadata: Iterable[tuple[str, str | bytes]] = call.trailing_metadata() or ()
    for key, value in metadata:
        if key == STATUS_KEY and isinstance(value, bytes):
            try:
                status = Status.FromString(value)
            except DecodeError:
                break  # not of our making: the code is all there is
    return from_status(status)


@contextmanager
def call_errors() -> Iterator[None]:
    """Turn the errors of calls into ours; to be held around a call or a stream's loop.

    with call_errors():
        answer = await stub.GetPurchase(request)

    Raises:
        CartsnitchError: The call failed; gRPC's error is its cause.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error) from error


@contextmanager
def request_field(path: str = "") -> Iterator[None]:
    """Say that what is refused inside is a part of the request, and which.

    Without it a refused value is a defect of the service: its own rows and
    events pass through the same checks.

    Args:
        path: Where the part stands in the request, such as ``receipt.purchase``.

    Raises:
        InvalidRequestError: A rule of the contract was broken.
        ValueNotStorableError: A value cannot be stored exactly.
    """
    try:
        yield
    except (errors.InvalidRequestError, errors.ReceiptConflictError, errors.PageTokenError):
        raise
    except errors.UnmappableValueError as error:
        raise errors.ValueNotStorableError(_join(path, error.field), error.reason) from error
    except errors.InvalidFieldError as error:
        here = errors.InvalidFieldError(
            _join(path, error.field), error.reason, rule_id=error.rule_id
        )
        raise errors.InvalidRequestError([here]) from error


def _join(path: str, field_path: str) -> str:
    return ".".join(part for part in (path, field_path) if part)
