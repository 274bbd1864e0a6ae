# ruff: noqa: ARG001, ARG002 - a method takes what gRPC gives it
"""What happens around a call: deadlines, cancellation, repeating, logs."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import psycopg
import pytest

from cartsnitch.account.v1 import (
    AccountServiceServicer,
    AccountServiceStub,
    GetUserStoreAccountRequest,
    GetUserStoreAccountResponse,
    ListUserStoreAccountsRequest,
    add_AccountServiceServicer_to_server,
)
from cartsnitch.pricing.v1 import StreamPriceObservationsRequest
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
from cartsnitch_common.errors import CallError, DatabaseUnavailableError, SetupError
from cartsnitch_common.rpc import call_errors, create_channel, current_request_id
from cartsnitch_common.rpc.request_id import METADATA_KEY
from tests.integration.rpc.conftest import TOKEN, Served, receipt_request, serving
from tests.rows import NOTHING, Rows

ASK = GetUserStoreAccountRequest(id=NOTHING)


class Accounts(AccountServiceServicer):
    """Does what a test gives it, and counts."""

    def __init__(self, behaviour: Any) -> None:
        self._behaviour = behaviour
        self.calls = 0

    async def GetUserStoreAccount(self, request: Any, context: Any) -> Any:  # noqa: N802, D102
        self.calls += 1
        return await self._behaviour(request, context)

    ListUserStoreAccounts = RequestSync = GetUserStoreAccount  # type: ignore[assignment]
    ConnectUserStoreAccount = GetUserStoreAccount  # type: ignore[assignment]
    DisconnectUserStoreAccount = GetUserStoreAccount  # type: ignore[assignment]

    @property
    def added(self) -> tuple[Any, Any]:
        """What a server takes."""
        return add_AccountServiceServicer_to_server, self


def states_of(rows: Rows) -> set[str]:
    """The states of the connections that the services have to the test's database."""
    query = (
        "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid NOT IN (%s, pg_backend_pid()) AND backend_type = 'client backend'"
    )
    # One of its own: inside a transaction the statistics stand still.
    with psycopg.connect(
        rows.connection.info.dsn, password=rows.connection.info.password, autocommit=True
    ) as connection:
        return {
            state for (state,) in connection.execute(query, (rows.connection.info.backend_pid,))
        }


async def until(condition: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, "it did not come to pass"
        await asyncio.sleep(0.02)


async def wait_long(request: Any, context: Any) -> Any:
    await asyncio.sleep(30)


# -- deadlines ----------------------------------------------------------------


async def test_a_call_ends_at_the_callers_deadline(served: Served, rows: Rows) -> None:
    """The client gets a DeadlineError in time, and the server's query ends with it."""
    rows.connection.execute("BEGIN; LOCK TABLE purchases")
    start = time.monotonic()
    with pytest.raises(rpc.DeadlineError), call_errors():
        await served.purchases.GetPurchase(GetPurchaseRequest(id=NOTHING), timeout=0.3)
    assert time.monotonic() - start < 2

    async def is_quiet() -> bool:
        return not {"active", "idle in transaction"} & states_of(rows)

    await until(is_quiet)
    rows.connection.execute("ROLLBACK")
    assert served.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_channel_gives_each_call_a_deadline(detached: Settings) -> None:
    """A caller that says nothing does not wait for ever."""
    async with serving(detached, Accounts(wait_long).added, deadline=0.3) as served:
        stub: Any = AccountServiceStub(served.channel)
        with pytest.raises(rpc.DeadlineError), call_errors():
            await stub.GetUserStoreAccount(ASK)


async def test_the_server_gives_up_whatever_a_caller_allows(
    detached: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """No call holds the server longer than CARTSNITCH_RPC_MAX_DEADLINE."""
    caplog.set_level(logging.INFO, "cartsnitch_common.rpc")
    settings = detached.model_copy(update={"rpc_max_deadline": 0.3})
    async with serving(settings, Accounts(wait_long).added) as served:
        stub: Any = AccountServiceStub(served.channel)
        start = time.monotonic()
        with pytest.raises(rpc.DeadlineError), call_errors():
            await stub.GetUserStoreAccount(ASK, timeout=20)
        assert time.monotonic() - start < 5
    (line,) = [record for record in caplog.records if hasattr(record, "rpc_code")]
    assert line.rpc_code == "DEADLINE_EXCEEDED"


async def test_a_methods_own_timeout_is_not_the_callers_deadline(detached: Settings) -> None:
    """A TimeoutError out of a method is a defect, or what the service makes of it."""

    async def time_out(request: Any, context: Any) -> Any:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(5)

    async with (
        rpc.Server(detached, [Accounts(time_out).added]) as server,
        create_channel(detached, f"localhost:{server.port}") as channel,
    ):
        stub: Any = AccountServiceStub(channel)
        with pytest.raises(rpc.InternalError), call_errors():
            await stub.GetUserStoreAccount(ASK)


# -- cancellation -------------------------------------------------------------


async def test_a_cancelled_call_leaves_nothing_behind(
    served: Served, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """The method is cancelled, its transaction rolled back, its connection given back."""
    caplog.set_level(logging.INFO, "cartsnitch_common.rpc")
    rows.the("stores")
    user = rows.the("users")
    # The purchase is inserted, its lines wait: the transaction is in the middle.
    rows.connection.execute("BEGIN; LOCK TABLE purchase_items")
    call = served.purchases.RecordPurchase(receipt_request(user))

    async def is_waiting() -> bool:
        return "active" in states_of(rows)

    async def is_done() -> bool:
        return not {"active", "idle in transaction"} & states_of(rows)

    task = asyncio.ensure_future(call.wait_for_connection())
    await until(is_waiting)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(is_done)
    rows.connection.execute("ROLLBACK")
    await asyncio.gather(task, return_exceptions=True)
    assert rows.count("purchases") == 0
    assert rows.count("event_outbox") == 0
    assert served.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert "RecordPurchase CANCELLED" in caplog.text


async def test_a_stream_that_nobody_reads_on_is_closed(served: Served, rows: Rows) -> None:
    """Leaving a stream in its middle gives its snapshot and its connection back at once."""
    product, store = rows.the("normalized_products"), rows.the("stores")
    rows.connection.execute(
        "INSERT INTO price_history"
        " (normalized_product_id, store_id, observed_date, regular_price, source)"
        " SELECT %s, %s, '2026-03-10', 1, 'catalog' FROM generate_series(1, 20000)",
        (product, store),
    )
    call = served.pricing.StreamPriceObservations(StreamPriceObservationsRequest())
    async for part in call:
        assert len(part.observations) == 500
        break
    assert served.engine.pool.checkedout() == 1  # type: ignore[attr-defined]
    call.cancel()

    async def is_done() -> bool:
        gone = served.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        return gone and not {"active", "idle in transaction"} & states_of(rows)

    await until(is_done)


# -- repeating ----------------------------------------------------------------


async def test_a_call_is_repeated_where_the_service_was_unavailable(
    detached: Settings,
) -> None:
    """Two failures that a third attempt survives are not seen by the caller."""

    async def fail_twice(request: Any, context: Any) -> Any:
        if accounts.calls < 3:
            raise DatabaseUnavailableError
        return GetUserStoreAccountResponse()

    accounts = Accounts(fail_twice)
    async with serving(detached, accounts.added) as served:
        stub: Any = AccountServiceStub(served.channel)
        with call_errors():
            await stub.GetUserStoreAccount(ASK)
    assert accounts.calls == 3


async def test_nothing_else_is_repeated(detached: Settings) -> None:
    """A defect, or a refusal, is met once."""

    async def fail(request: Any, context: Any) -> Any:
        raise RuntimeError

    accounts = Accounts(fail)
    async with serving(detached, accounts.added) as served:
        stub: Any = AccountServiceStub(served.channel)
        with pytest.raises(rpc.InternalError), call_errors():
            await stub.GetUserStoreAccount(ASK)
    assert accounts.calls == 1


async def test_repeating_ends_at_the_deadline(detached: Settings) -> None:
    """A service that nobody can reach is an error in time, also between two attempts."""
    async with create_channel(detached, "localhost:1", deadline=0.35) as channel:
        stub: Any = AccountServiceStub(channel)

        async def ask(deadline: float) -> float:
            start = time.monotonic()
            with pytest.raises(CallError) as caught, call_errors():
                await stub.GetUserStoreAccount(ASK, timeout=deadline)
            assert isinstance(caught.value, rpc.DeadlineError | rpc.ServiceUnavailableError)
            return time.monotonic() - start - deadline

        over = await asyncio.gather(*(ask(0.05 + step / 50) for step in range(40)))
    assert max(over) < 2


# -- logs ---------------------------------------------------------------------


async def test_each_call_is_one_line_without_what_was_sent(
    served: Served, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names method, code, duration, peer and request id, and no payload."""
    caplog.set_level(logging.DEBUG, "cartsnitch_common")
    canary = "canary-of-ada"
    rows.the("stores")
    rows.add("users", id=canary, email="a@b.example")
    await served.purchases.RecordPurchase(receipt_request(canary, "receipt-canary"))
    with pytest.raises(grpc.aio.AioRpcError):
        await served.purchases.RecordPurchase(receipt_request(canary + "x" * 70, "receipt-canary"))
    good, bad = [record for record in caplog.records if hasattr(record, "rpc_code")]
    assert good.rpc_method == "/cartsnitch.purchase.v1.PurchaseService/RecordPurchase"
    assert (good.rpc_code, good.rpc_reason) == ("OK", "")
    assert (bad.rpc_code, bad.rpc_reason) == ("INVALID_ARGUMENT", "invalid_field")
    assert good.rpc_peer in {"127.0.0.1", "[::1]"}
    assert good.rpc_duration_ms > 0
    assert good.rpc_request_id != bad.rpc_request_id
    for word in ("canary", "BANANAS", TOKEN):
        assert word not in caplog.text
        assert not any(word in str(vars(record)) for record in caplog.records)


async def test_a_request_keeps_its_id(detached: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """An id that came with a call goes on with the calls that are made for it."""
    caplog.set_level(logging.INFO, "cartsnitch_common.rpc")
    seen = []

    async def call_on(request: Any, context: Any) -> Any:
        seen.append(current_request_id())
        if len(seen) == 1:
            await stub.ListUserStoreAccounts(ListUserStoreAccountsRequest(user_id="u"))
        return GetUserStoreAccountResponse()

    async with serving(detached, Accounts(call_on).added) as served:
        stub: Any = AccountServiceStub(served.channel)
        await stub.GetUserStoreAccount(ASK, metadata=[(METADATA_KEY, "from-the-gateway.1")])
        await stub.GetUserStoreAccount(ASK, metadata=[(METADATA_KEY, "two words")])
    assert seen[:2] == ["from-the-gateway.1"] * 2
    assert seen[2] not in {"two words", None}
    assert "two words" not in caplog.text
    assert current_request_id() is None


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
