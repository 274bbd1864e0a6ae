# ruff: noqa: ARG001, ARG002 - a method takes what gRPC gives it
"""What a server makes of the methods of a service: blocking, missing, wrong, streaming."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from cartsnitch.account.v1 import AccountServiceStub, GetUserStoreAccountRequest
from cartsnitch.purchase.v1 import (
    BatchGetPurchasesRequest,
    GetPurchaseRequest,
    GetPurchaseResponse,
    ListPurchasesRequest,
    PurchaseServiceServicer,
    PurchaseServiceStub,
    add_PurchaseServiceServicer_to_server,
)
from cartsnitch_common import rpc
from cartsnitch_common.config import Settings
from cartsnitch_common.errors import CallError, SetupError
from cartsnitch_common.rpc import call_errors, create_channel
from tests.integration.rpc.accounts import ASK, Accounts
from tests.integration.rpc.conftest import serving
from tests.rows import NOTHING


async def test_a_server_with_a_blocking_method_does_not_start(detached: Settings) -> None:
    """A method that would block the loop is refused, not run."""

    class Blocking(Accounts):
        def GetUserStoreAccount(self, request: Any, context: Any) -> Any:  # noqa: N802
            return ASK

    server = rpc.Server(detached, [Blocking(None).added])
    with pytest.raises(SetupError, match="GetUserStoreAccount must be an async method"):
        await server.start()


async def test_a_method_that_a_service_does_not_have_yet_is_unimplemented(
    detached: Settings,
) -> None:
    """A contract that grew a method starts with a service that has not."""

    class Older(PurchaseServiceServicer):
        async def GetPurchase(self, request: Any, context: Any) -> Any:  # noqa: N802
            return GetPurchaseResponse()

    added = (add_PurchaseServiceServicer_to_server, Older())  # type: ignore[abstract]
    async with (
        rpc.Server(detached, [added]) as server,
        create_channel(detached, f"localhost:{server.port}") as channel,
    ):
        stub: Any = PurchaseServiceStub(channel)
        await stub.GetPurchase(GetPurchaseRequest(id=NOTHING))
        with pytest.raises(CallError) as once, call_errors():
            await stub.ListPurchases(ListPurchasesRequest(user_id="u"))
        with pytest.raises(CallError) as stream, call_errors():
            await stub.BatchGetPurchases(BatchGetPurchasesRequest(ids=[NOTHING])).read()
    assert once.value.code == stream.value.code == "UNIMPLEMENTED"


async def test_an_answer_of_the_wrong_kind_is_a_defect(detached: Settings) -> None:
    """A method that forgot its answer is an incident, and the caller is not shown why."""

    async def forget(request: Any, context: Any) -> Any:
        return None

    async with serving(detached, Accounts(forget).added) as served:
        stub: Any = AccountServiceStub(served.channel)
        with pytest.raises(rpc.InternalError), call_errors():
            await stub.GetUserStoreAccount(ASK)


async def test_requests_of_a_stream_are_checked_too(detached: Settings) -> None:
    """Each message of a request stream keeps the rules, or ends the call."""
    seen = []

    async def collect(requests: AsyncIterator[Any], context: Any) -> Any:
        seen.extend([request.id async for request in requests])
        return ASK

    def register(_: Any, server: Any) -> None:
        method = grpc.stream_unary_rpc_method_handler(
            collect,
            GetUserStoreAccountRequest.FromString,
            GetUserStoreAccountRequest.SerializeToString,
        )
        handlers = {"Collect": method}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", handlers),))

    async with serving(detached, (register, None)) as served:
        call = served.channel.stream_unary(
            "/t.T/Collect",
            GetUserStoreAccountRequest.SerializeToString,
            GetUserStoreAccountRequest.FromString,
        )
        await call(iter([ASK, ASK]))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(iter([ASK, GetUserStoreAccountRequest(id="1")]))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert seen == [NOTHING] * 2
