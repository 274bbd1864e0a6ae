"""A server's life: how it starts, stops, and what it carries."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from cartsnitch.pricing.v1 import PricingServiceStub, StreamPriceObservationsRequest
from cartsnitch.purchase.v1 import (
    GetPurchaseRequest,
    GetPurchaseResponse,
    PurchaseServiceServicer,
    PurchaseServiceStub,
    add_PurchaseServiceServicer_to_server,
)
from cartsnitch_common import rpc
from cartsnitch_common.config import Settings
from cartsnitch_common.errors import SettingError
from cartsnitch_common.rpc import Server, call_errors, create_channel
from tests.integration.rpc.conftest import TOKEN, serving
from tests.rows import NOTHING, Rows

ROOT = Path(__file__).parents[3]
OBSERVATIONS = 100_000
MIB = 1024 * 1024


class Slow(PurchaseServiceServicer):
    """Answers once it is let."""

    def __init__(self) -> None:
        self.entered, self.released = asyncio.Event(), asyncio.Event()
        self.cancelled = False

    async def GetPurchase(self, request: Any, context: Any) -> Any:  # noqa: ARG002, D102, N802
        self.entered.set()
        try:
            await self.released.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return GetPurchaseResponse()


async def test_a_call_in_flight_is_answered_while_the_server_stops(
    detached: Settings,
) -> None:
    """Stopping says NOT_SERVING, takes no new call, and waits for what runs."""
    slow = Slow()  # type: ignore[abstract]
    server = Server(detached, [(add_PurchaseServiceServicer_to_server, slow)])
    await server.start()
    target = f"localhost:{server.port}"
    async with create_channel(detached, target) as channel:
        stub: Any = PurchaseServiceStub(channel)
        health: Any = HealthStub(channel)
        watch = health.Watch(HealthCheckRequest(service=""))
        assert (await watch.read()).status == HealthCheckResponse.SERVING
        call = stub.GetPurchase(GetPurchaseRequest(id=NOTHING))
        await slow.entered.wait()
        stopping = asyncio.create_task(server.stop(grace=5))
        assert (await watch.read()).status == HealthCheckResponse.NOT_SERVING
        watch.cancel()
        async with create_channel(detached, target, deadline=1) as other:
            late: Any = PurchaseServiceStub(other)
            with pytest.raises(rpc.ServiceUnavailableError), call_errors():
                await late.GetPurchase(GetPurchaseRequest(id=NOTHING))
        assert not stopping.done()
        slow.released.set()
        assert await call == GetPurchaseResponse()
        await stopping
    assert not slow.cancelled


async def test_what_does_not_end_in_its_grace_is_cancelled(detached: Settings) -> None:
    """A server stops in time, and its methods are told."""
    slow = Slow()  # type: ignore[abstract]
    server = Server(detached, [(add_PurchaseServiceServicer_to_server, slow)])
    await server.start()
    async with create_channel(detached, f"localhost:{server.port}", deadline=20) as channel:
        stub: Any = PurchaseServiceStub(channel)
        call = asyncio.ensure_future(_ask(stub))
        await slow.entered.wait()
        start = time.monotonic()
        await server.stop(grace=0.2)
        assert time.monotonic() - start < 3
        assert isinstance(await call, rpc.ServiceUnavailableError)
    assert slow.cancelled


async def _ask(stub: Any) -> Exception:
    try:
        with call_errors():
            await stub.GetPurchase(GetPurchaseRequest(id=NOTHING))
    except rpc.ServiceUnavailableError as error:
        return error
    return AssertionError("it was answered")


async def test_a_port_that_is_taken_is_said(detached: Settings) -> None:
    """Two servers never share a port, each with half of the calls."""
    async with serving(detached) as served:
        taken = detached.model_copy(update={"rpc_port": served.server.port})
        with pytest.raises(SettingError, match="CARTSNITCH_RPC_PORT: cannot listen on 127"):
            await Server(taken, []).start()


async def test_a_message_above_the_limit_is_refused(detached: Settings) -> None:
    """More than 16 MiB are not received; nothing crashes, and the channel stays good."""
    async with serving(detached) as served:
        call = served.channel.unary_unary("/cartsnitch.purchase.v1.PurchaseService/GetPurchase")
        for size, code in (
            (16 * MIB + 1, grpc.StatusCode.RESOURCE_EXHAUSTED),
            (2, grpc.StatusCode.INVALID_ARGUMENT),  # bytes that are no message
        ):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(b"\xff" * size)
            assert caught.value.code() is code


# -- a process of its own -----------------------------------------------------


class Process:
    """The sample services in a process, and what it uses of memory."""

    def __init__(self, database: str) -> None:
        environment = {
            **os.environ,
            "CARTSNITCH_DATABASE_URL": database,
            "CARTSNITCH_RPC_TOKEN": TOKEN,
            "CARTSNITCH_RPC_PORT": "0",
        }
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "tests.sample_services"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.popen.stdout is not None
        self.port = int(self.popen.stdout.readline())

    @property
    def memory(self) -> int:
        """Unit: bytes that are resident."""
        return int(psutil.Process(self.popen.pid).memory_info().rss)

    def stop(self) -> int:
        """Ask it to end, and return its exit code."""
        self.popen.send_signal(signal.SIGTERM)
        try:
            return self.popen.wait(20)
        finally:
            self.popen.kill()
            assert self.popen.stdout is not None
            self.popen.stdout.close()


def observe(rows: Rows, product: Any, count: int) -> None:
    rows.connection.execute(
        "INSERT INTO price_history"
        " (normalized_product_id, store_id, observed_date, regular_price, sale_price, source)"
        " SELECT %s, %s, date '2020-01-01' + n / 60, 3 + n %% 7, 2.4999, 'catalog'"
        " FROM generate_series(1, %s) AS n",
        (product, rows.the("stores"), count),
    )


async def test_a_hundred_thousand_observations_pass_in_flat_memory(
    database: str, rows: Rows
) -> None:
    """The server holds a part at a time, however long the history, then ends when it is told."""
    few, many = rows.add("normalized_products"), rows.add("normalized_products")
    observe(rows, few, 5_000)
    observe(rows, many, OBSERVATIONS)
    process = Process(database)
    try:
        settings = Settings.load(rpc_token=TOKEN)
        async with create_channel(settings, f"localhost:{process.port}") as channel:
            stub: Any = PricingServiceStub(channel)

            async def read(product: Any) -> tuple[int, int]:
                """How many came, and the most memory that the server held meanwhile."""
                seen, peak = 0, 0
                last: tuple[int, int, int, str] = (0, 0, 0, "")
                ask = StreamPriceObservationsRequest(normalized_product_id=str(product))
                async for part in stub.StreamPriceObservations(ask):
                    for one in part.observations:
                        day = one.observed_date
                        here = (day.year, day.month, day.day, one.id)
                        assert here > last
                        last = here
                    seen += len(part.observations)
                    peak = max(peak, process.memory)
                return seen, peak

            assert (await read(few))[0] == 5_000
            before = process.memory  # what the first parts need stays: pools, caches, buffers
            seen, peak = await read(many)
        assert seen == OBSERVATIONS
        # Their rows, all at once, are more than 100 MiB.
        assert peak - before < 16 * MIB, f"{(peak - before) / MIB:.1f} MiB"
    finally:
        code = process.stop()
    assert code == 0
