"""Serve the three services in a process of their own: ``python -m tests.sample_services``.

The settings come from the environment; the port is printed once calls are taken.
"""

from __future__ import annotations

import asyncio
from typing import Any

from cartsnitch.catalog.v1 import add_CatalogServiceServicer_to_server
from cartsnitch.pricing.v1 import add_PricingServiceServicer_to_server
from cartsnitch.purchase.v1 import add_PurchaseServiceServicer_to_server
from cartsnitch_common.config import Settings
from cartsnitch_common.db.driver_errors import as_ours
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.rpc import Server
from tests.sample_services.catalog import CatalogService
from tests.sample_services.pricing import PricingService
from tests.sample_services.purchases import PurchaseService


async def serve() -> None:
    settings = Settings.load()
    engine = async_engine(settings)
    sessions = async_sessions(engine)
    services: list[tuple[Any, Any]] = [
        (add_PurchaseServiceServicer_to_server, PurchaseService(sessions)),
        (add_PricingServiceServicer_to_server, PricingService(sessions)),
        (add_CatalogServiceServicer_to_server, CatalogService(sessions)),
    ]
    async with Server(settings, services, translate=as_ours) as server:
        print(server.port, flush=True)  # noqa: T201 - the parent reads it
        await server.wait()
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(serve())
