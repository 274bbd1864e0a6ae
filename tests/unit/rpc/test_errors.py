"""Errors as statuses and back, without a server."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from cartsnitch_common import errors, rpc
from cartsnitch_common.constants import ErrorReason
from cartsnitch_common.rpc.errors import from_rpc_error, from_status, is_answer, to_status
from cartsnitch_common.rpc.reasons import FORMS

ACCOUNT = "0199a7c4-1f00-7000-8000-000000000001"
SAMPLES: list[errors.CartsnitchError] = [
    errors.InvalidRequestError(
        [
            errors.InvalidFieldError("a.b", "is too long", rule_id="string.max_len"),
            errors.InvalidFieldError("", "dates are in disorder"),
        ]
    ),
    errors.ValueNotStorableError("items[2].price", "has more than 2 decimal places"),
    errors.PageTokenError(),
    errors.NotFoundError("cartsnitch.purchase.v1.Purchase", "id"),
    errors.ReceiptConflictError("receipt.purchase.total", "042-1187-3"),
    rpc.AccountExpiredError(ACCOUNT),
    rpc.SyncTooSoonError(ACCOUNT, retry_after=90.25),
    rpc.UnauthenticatedError("the token is not one of ours"),
    errors.TransactionAbortedError(),
    errors.DatabaseUnavailableError(retry_after=0.000000001),
    rpc.InternalError(ACCOUNT),
]


def facts(error: Any) -> dict[str, Any]:
    found = {name: value for name, value in vars(error).items() if name != "why"}
    if "violations" in found:
        found["violations"] = [(one.field, one.reason) for one in found["violations"]]
    return found


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_to_the_caller(error: errors.CartsnitchError) -> None:
    """Class, attributes and message are the same on both ends."""
    status = to_status(error)
    back = from_status(Status.FromString(status.SerializeToString()))
    assert type(back) is type(error)
    assert facts(back) == facts(error)
    assert str(back) == str(error)


def test_every_reason_has_one_form_and_a_sample() -> None:
    """The table is total: a new reason of the contract is decided on."""
    assert sorted(form.reason for form in FORMS) == sorted(ErrorReason)
    assert {type(error) for error in SAMPLES} == {form.kind for form in FORMS}


def test_why_a_caller_is_refused_is_not_sent() -> None:
    """The reason of a refused token stays on the server."""
    status = to_status(rpc.UnauthenticatedError("the token is not one of ours"))
    assert b"one of ours" not in status.SerializeToString()


@pytest.mark.parametrize(
    "error",
    [
        errors.CartsnitchError(),
        errors.InvalidFieldError("email", "is too long"),
        errors.UnmappableValueError("email", "is too long"),
        rpc.DeadlineError(),
        errors.SettingError("CARTSNITCH_DATABASE_URL", "is not set"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_not_meant_for_callers_has_no_status(error: errors.CartsnitchError) -> None:
    """An error of ours is only sent if the contract has a reason for its class."""
    assert not is_answer(error)
    with pytest.raises(TypeError):
        to_status(error)


def status_with(code: grpc.StatusCode, **info: Any) -> Status:
    status = Status(code=code.value[0], message="whatever")
    if info:
        status.details.add().Pack(ErrorInfo(**info))
    return status


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (status_with(grpc.StatusCode.DEADLINE_EXCEEDED), rpc.DeadlineError, "DEADLINE_EXCEEDED"),
        (status_with(grpc.StatusCode.UNAVAILABLE), rpc.ServiceUnavailableError, "UNAVAILABLE"),
        (status_with(grpc.StatusCode.CANCELLED), errors.CallError, "CANCELLED"),
        (Status(code=99), errors.CallError, "UNKNOWN"),
        (
            status_with(
                grpc.StatusCode.NOT_FOUND,
                reason="ERROR_REASON_RESOURCE_NOT_FOUND",
                domain="example.com",
            ),
            errors.CallError,
            "NOT_FOUND",
        ),
    ],
)
def test_a_status_that_is_not_ours_goes_by_its_code(
    status: Status, kind: type[errors.CallError], code: str
) -> None:
    """GRPC's own failures, and another domain's reasons, keep their code."""
    error = from_status(status)
    assert type(error) is kind
    assert isinstance(error, errors.CallError)
    assert error.code == code


def test_an_unknown_reason_keeps_its_name_and_code() -> None:
    """An older client meets a newer reason and goes by the code."""
    error = from_status(
        status_with(
            grpc.StatusCode.FAILED_PRECONDITION, reason="ERROR_REASON_NEW", domain="cartsnitch"
        )
    )
    assert isinstance(error, rpc.UnknownReasonError)
    assert (error.code, error.reason) == ("FAILED_PRECONDITION", "ERROR_REASON_NEW")


@pytest.mark.parametrize("reason", ErrorReason)
def test_a_reason_without_its_facts_is_read_all_the_same(reason: ErrorReason) -> None:
    """A sender that left out details is no reason for a client to fail otherwise."""
    status = status_with(
        grpc.StatusCode.UNKNOWN, reason=f"ERROR_REASON_{reason.name}", domain="cartsnitch"
    )
    broken = AnyMessage(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff")
    status.details.append(broken)
    (form,) = (form for form in FORMS if form.reason is reason)
    assert type(from_status(status)) is form.kind


def test_details_that_are_none_are_left_aside() -> None:
    """A trailer that is no status leaves the code."""
    metadata = grpc.aio.Metadata(("grpc-status-details-bin", b"\xff\xff"))
    error = grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), metadata)
    assert isinstance(from_rpc_error(error), rpc.ServiceUnavailableError)


def test_a_part_of_the_request_is_named_from_its_root() -> None:
    """What a converter refuses of a request is the caller's mistake, with the caller's path."""
    with pytest.raises(errors.ValueNotStorableError) as storable, rpc.request_field("receipt"):
        raise errors.UnmappableValueError("total", "has cents of cents")
    assert storable.value.field == "receipt.total"
    with pytest.raises(errors.InvalidRequestError) as rule, rpc.request_field("receipt"):
        raise errors.InvalidFieldError("", "is empty", rule_id="receipt.items")
    assert (rule.value.field, rule.value.rule_id) == ("receipt", "receipt.items")
    with pytest.raises(errors.PageTokenError), rpc.request_field("receipt"):
        raise errors.PageTokenError
