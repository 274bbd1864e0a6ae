# ruff: noqa: ARG001 - a method takes what gRPC gives it
"""How a call ends early: at a deadline, or cancelled."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import psycopg
import pytest

from cartsnitch.account.v1 import AccountServiceStub
from cartsnitch.pricing.v1 import StreamPriceObservationsRequest
from cartsnitch.purchase.v1 import GetPurchaseRequest
from cartsnitch_common import rpc
from cartsnitch_common.config import Settings
from cartsnitch_common.rpc import call_errors, create_channel
from tests.integration.rpc.accounts import ASK, Accounts
from tests.integration.rpc.conftest import Served, receipt_request, serving
from tests.rows import NOTHING, Rows


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
