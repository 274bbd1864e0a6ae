# ruff: noqa: ARG001 - every way to provoke a reason is given the same
"""Every reason of the contract, provoked on a real server and read by a client."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from psycopg import sql

from cartsnitch.account.v1 import (
    AccountServiceServicer,
    AccountServiceStub,
    RequestSyncRequest,
    add_AccountServiceServicer_to_server,
)
from cartsnitch.purchase.v1 import GetPurchaseRequest, ListPurchasesRequest, PurchaseServiceStub
from cartsnitch_common import errors, rpc
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import ErrorReason
from cartsnitch_common.rpc import call_errors, create_channel
from tests.integration.rpc.conftest import OTHER_TOKEN, Served, dollars, receipt_request, serving
from tests.rows import NOTHING, Rows

PROTO = Path(__file__).parents[3] / "proto/cartsnitch/error/v1/error_reason.proto"
ACCOUNT = "0199a7c4-1f00-7000-8000-000000000001"
CANARY = "ada@parent.example"


class Accounts(AccountServiceServicer):
    """Refuses every sync for a reason that is given to it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def RequestSync(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002, D102
        raise self._error

    GetUserStoreAccount = ListUserStoreAccounts = RequestSync  # type: ignore[assignment]
    ConnectUserStoreAccount = DisconnectUserStoreAccount = RequestSync  # type: ignore[assignment]


def comment_of(reason: ErrorReason) -> str:
    found = re.search(
        rf"((?:^ *//.*\n)+) *ERROR_REASON_{reason.name} = ", PROTO.read_text(), re.MULTILINE
    )
    assert found
    return re.sub(r"^ *// ?", "", found[1], flags=re.MULTILINE)


def details_of(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """The names of the details' types, and the ErrorInfo."""
    metadata = dict(error.trailing_metadata() or ())
    status = Status.FromString(metadata["grpc-status-details-bin"])
    assert status.code == error.code().value[0]
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    return {
        "kinds": {detail.TypeName().rpartition(".")[2] for detail in status.details},
        "info": info,
    }


def assert_as_the_contract_says(reason: ErrorReason, error: grpc.aio.AioRpcError) -> None:
    comment = comment_of(reason)
    code, kinds = re.search(
        r"^Status: ([A-Z_]+)((?:.|\n)*?)\nRetry", comment, re.MULTILINE
    ).groups()
    assert error.code().name == code
    found = details_of(error)
    assert found["kinds"] == {"ErrorInfo", *re.findall(r"google\.rpc\.(\w+)", kinds)}
    example = json.loads(comment[comment.index("{") : comment.rindex("}") + 1])
    assert (found["info"].reason, found["info"].domain) == (example["reason"], example["domain"])
    assert found["info"].metadata.keys() == example["metadata"].keys()


async def refused(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


# -- how each reason comes about ----------------------------------------------


async def an_invalid_field(served: Served, rows: Rows) -> Any:
    return served.purchases.RecordPurchase(receipt_request(""))


async def a_page_token_refused(served: Served, rows: Rows) -> Any:
    for number in range(3):
        rows.add("purchases", receipt_id=f"r-{number}")
    ask = ListPurchasesRequest(user_id=rows.the("users"), page_size=1)
    page = await served.purchases.ListPurchases(ask)
    return served.purchases.ListPurchases(
        ListPurchasesRequest(user_id="another", page_size=1, page_token=page.next_page_token)
    )


async def a_resource_not_found(served: Served, rows: Rows) -> Any:
    return served.purchases.GetPurchase(GetPurchaseRequest(id=NOTHING))


async def a_receipt_conflict(served: Served, rows: Rows) -> Any:
    rows.the("stores")
    await served.purchases.RecordPurchase(receipt_request(rows.the("users")))
    other = receipt_request(rows.the("users"), total=dollars("9.99"))
    return served.purchases.RecordPurchase(other)


async def a_transaction_aborted(served: Served, rows: Rows) -> Any:
    # A table that somebody holds, and a server that waits for no lock.
    rows.connection.execute("BEGIN; LOCK TABLE purchases")
    return served.purchases.GetPurchase(GetPurchaseRequest(id=NOTHING))


async def an_internal_error(served: Served, rows: Rows) -> Any:
    rows.connection.execute("ALTER TABLE purchases RENAME TO elsewhere")
    return served.purchases.GetPurchase(GetPurchaseRequest(id=NOTHING))


def sync(error: Exception) -> Callable[[Served, Rows], Any]:
    async def provoke(served: Served, rows: Rows) -> Any:
        ACCOUNTS._error = error
        return AccountServiceStub(served.channel).RequestSync(
            RequestSyncRequest(user_store_account_id=ACCOUNT)
        )

    return provoke


ACCOUNTS = Accounts(RuntimeError())
CASES: dict[ErrorReason, tuple[Callable[[Served, Rows], Any], type[Exception]]] = {
    ErrorReason.INVALID_FIELD: (an_invalid_field, errors.InvalidRequestError),
    ErrorReason.VALUE_NOT_STORABLE: (
        sync(errors.ValueNotStorableError("user_store_account_id", "is too long")),
        errors.ValueNotStorableError,
    ),
    ErrorReason.PAGE_TOKEN_REFUSED: (a_page_token_refused, errors.PageTokenError),
    ErrorReason.RESOURCE_NOT_FOUND: (a_resource_not_found, errors.NotFoundError),
    ErrorReason.RECEIPT_CONFLICT: (a_receipt_conflict, errors.ReceiptConflictError),
    ErrorReason.TRANSACTION_ABORTED: (a_transaction_aborted, errors.TransactionAbortedError),
    ErrorReason.INTERNAL: (an_internal_error, rpc.InternalError),
    ErrorReason.ACCOUNT_EXPIRED: (
        sync(rpc.AccountExpiredError(ACCOUNT)),
        rpc.AccountExpiredError,
    ),
    ErrorReason.SYNC_TOO_SOON: (
        sync(rpc.SyncTooSoonError(ACCOUNT, retry_after=1.5)),
        rpc.SyncTooSoonError,
    ),
}


@asynccontextmanager
async def impatient(settings: Settings, rows: Rows) -> AsyncIterator[Served]:
    name = sql.Identifier(rows.connection.info.dbname)
    rows.connection.execute(sql.SQL("ALTER DATABASE {} SET lock_timeout = '150ms'").format(name))
    try:
        async with serving(settings, (add_AccountServiceServicer_to_server, ACCOUNTS)) as served:
            yield served
    finally:
        if rows.connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
            rows.connection.execute("ROLLBACK")


@pytest.mark.parametrize("reason", CASES)
async def test_a_reason_is_answered_as_the_contract_says(
    reason: ErrorReason, rpc_settings: Settings, rows: Rows
) -> None:
    """Code, details and metadata are those of the proto's comment, and the client gets ours."""
    provoke, kind = CASES[reason]
    async with impatient(rpc_settings, rows) as served:
        error = await refused(await provoke(served, rows))
    assert_as_the_contract_says(reason, error)
    ours = rpc.from_rpc_error(error)
    assert type(ours) is kind


async def test_a_wrong_or_missing_token_is_refused(
    open_served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the token nothing is answered, the reason is in the log, and the token is not."""
    other = Settings.load(rpc_token=OTHER_TOKEN)
    port = open_served.server.port
    ask = GetPurchaseRequest(id=NOTHING)
    async with (
        create_channel(other, f"localhost:{port}") as wrong,
        grpc.aio.insecure_channel(f"localhost:{port}") as none,
    ):
        for channel in (wrong, none):
            error = await refused(PurchaseServiceStub(channel).GetPurchase(ask))
            assert_as_the_contract_says(ErrorReason.CALLER_NOT_AUTHENTICATED, error)
            assert isinstance(rpc.from_rpc_error(error), rpc.UnauthenticatedError)
    assert "the token is not one of ours" in caplog.text
    assert "no token was sent" in caplog.text
    assert OTHER_TOKEN not in caplog.text


async def test_a_database_that_is_gone_is_unavailable(detached: Settings) -> None:
    """The client hears that the database is away and when to come back; retries do not help."""
    async with serving(detached, deadline=20) as served:
        error = await refused(served.purchases.GetPurchase(GetPurchaseRequest(id=NOTHING)))
    assert_as_the_contract_says(ErrorReason.DATABASE_UNAVAILABLE, error)
    ours = rpc.from_rpc_error(error)
    assert isinstance(ours, errors.DatabaseUnavailableError)
    assert ours.retry_after == 1.0


def test_every_reason_of_the_contract_is_tried() -> None:
    """A new reason needs a case here."""
    elsewhere = {ErrorReason.CALLER_NOT_AUTHENTICATED, ErrorReason.DATABASE_UNAVAILABLE}
    assert set(CASES) | elsewhere == set(ErrorReason)


# -- what errors say, and what they do not ------------------------------------


async def test_every_violation_is_listed(open_served: Served) -> None:
    """A request with several wrong fields is answered with all of them at once."""
    request = receipt_request("", "")
    with pytest.raises(errors.InvalidRequestError) as caught, call_errors():
        await open_served.purchases.RecordPurchase(request)
    fields = [one.field for one in caught.value.violations]
    assert "receipt.purchase.user_id" in fields
    assert "receipt.purchase.receipt_id" in fields
    assert isinstance(caught.value.__cause__, grpc.aio.AioRpcError)


async def test_more_violations_than_a_status_carries_are_cut(open_served: Served) -> None:
    """A request with hundreds of wrong fields is still told that it is one, and which at first."""
    request = receipt_request("", "")
    del request.receipt.purchase.items[:]
    for _ in range(400):
        request.receipt.purchase.items.add()
    with pytest.raises(errors.InvalidRequestError, match="more") as caught, call_errors():
        await open_served.purchases.RecordPurchase(request)
    assert 20 < len(caught.value.violations) < 200


async def test_what_a_row_to_write_refers_to_is_named(served: Served, rows: Rows) -> None:
    """A user, a store or a product that is missing is named by field and type."""
    with pytest.raises(errors.NotFoundError) as caught, call_errors():
        await served.purchases.RecordPurchase(receipt_request("nobody"))
    assert caught.value.field == "receipt.store"
    rows.the("stores")
    with pytest.raises(errors.NotFoundError) as caught, call_errors():
        await served.purchases.RecordPurchase(receipt_request("nobody"))
    assert caught.value.field == "receipt.purchase.user_id"
    assert caught.value.resource_type == "cartsnitch.account.v1.User"
    assert rows.count("purchases") == 0


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(RuntimeError(f"no session for {CANARY}"), id="a defect"),
        pytest.param(errors.UnmappableValueError("email", "is too long"), id="a row's value"),
        pytest.param(errors.InvalidFieldError("email", "is too long"), id="an event's value"),
    ],
)
async def test_a_defect_is_an_incident_and_says_nothing_else(
    error: Exception, detached: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The client gets an id, the log has the class and the place under it, nobody the value."""
    caplog.set_level(logging.INFO)
    accounts = (add_AccountServiceServicer_to_server, Accounts(error))
    async with serving(detached, accounts) as served:
        stub: Any = AccountServiceStub(served.channel)
        found = await refused(stub.RequestSync(RequestSyncRequest(user_store_account_id=ACCOUNT)))
    assert_as_the_contract_says(ErrorReason.INTERNAL, found)
    ours = rpc.from_rpc_error(found)
    assert isinstance(ours, rpc.InternalError)
    assert ours.incident_id in caplog.text
    assert f"{type(error).__name__}" in caplog.text
    assert "test_errors.py:" in caplog.text
    assert CANARY not in caplog.text
    assert CANARY not in repr(found)


async def test_the_error_of_another_service_is_not_passed_on(detached: Settings) -> None:
    """What a service was answered speaks of its own request, not of its caller's."""
    error = errors.NotFoundError("cartsnitch.purchase.v1.Purchase", "id")
    error.__cause__ = grpc.RpcError()
    accounts = (add_AccountServiceServicer_to_server, Accounts(error))
    async with serving(detached, accounts) as served:
        stub: Any = AccountServiceStub(served.channel)
        with pytest.raises(rpc.InternalError), call_errors():
            await stub.RequestSync(RequestSyncRequest(user_store_account_id=ACCOUNT))


async def test_a_method_that_is_not_served_has_a_code_and_no_reason(open_served: Served) -> None:
    """What gRPC itself answers is a CallError that keeps its code."""
    stub: Any = AccountServiceStub(open_served.channel)
    with pytest.raises(errors.CallError) as caught, call_errors():
        await stub.RequestSync(RequestSyncRequest(user_store_account_id=ACCOUNT))
    assert type(caught.value) is errors.CallError
    assert caught.value.code == "UNIMPLEMENTED"
