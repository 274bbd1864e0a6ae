from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch.catalog.v1 import (
    CatalogServiceStub,
    StoreSlug,
    add_CatalogServiceServicer_to_server,
)
from cartsnitch.pricing.v1 import PricingServiceStub, add_PricingServiceServicer_to_server
from cartsnitch.purchase.v1 import (
    Purchase,
    PurchaseItem,
    PurchaseServiceStub,
    Receipt,
    RecordPurchaseRequest,
    add_PurchaseServiceServicer_to_server,
)
from cartsnitch.type.v1 import Date, Decimal, Money
from cartsnitch_common.config import Settings
from cartsnitch_common.db.driver_errors import as_ours
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.rpc import Server, create_channel
from tests.rows import Rows
from tests.sample_services.catalog import CatalogService
from tests.sample_services.pricing import PricingService
from tests.sample_services.purchases import PurchaseService

TOKEN = "a-token-that-no-one-guesses-in-time-0001"
OTHER_TOKEN = "a-token-that-was-good-before-this-one-00"


def dollars(text: str) -> Money:
    whole, _, cents = text.partition(".")
    return Money(currency_code="USD", units=int(whole), nanos=int(cents.ljust(9, "0")))


def receipt_request(user_id: str, number: str = "042-1187-3", **changes: Any) -> Any:
    """A request that records a receipt of two lines; ``changes`` are the purchase's fields."""
    purchase = Purchase(
        user_id=user_id,
        receipt_id=number,
        purchase_date=Date(year=2026, month=3, day=10),
        total=dollars("5.28"),
        ingest_time=Timestamp(seconds=1773153000),
        items=[
            PurchaseItem(
                product_name_raw="KEL CRN FLKS 18 OZ",
                upc="038000001109",
                quantity=Decimal(value="1"),
                unit_price=dollars("4.79"),
                extended_price=dollars("4.79"),
            ),
            PurchaseItem(
                product_name_raw="BANANAS",
                quantity=Decimal(value="0.755"),
                unit_price=dollars("0.65"),
                extended_price=dollars("0.49"),
            ),
        ],
    )
    for name, value in changes.items():
        if isinstance(value, str):
            setattr(purchase, name, value)
        else:
            getattr(purchase, name).CopyFrom(value)
    return RecordPurchaseRequest(
        receipt=Receipt(store=StoreSlug.STORE_SLUG_MEIJER, purchase=purchase)
    )


@pytest.fixture
def rpc_settings(database: str) -> Settings:
    return Settings.load(database_url=database, rpc_port=0, rpc_token=TOKEN)


@pytest.fixture
def detached() -> Settings:
    """For what needs no database: a connection to it would fail."""
    url = "postgresql://nobody:nothing@127.0.0.1:1/nowhere"
    return Settings.load(database_url=url, rpc_port=0, rpc_token=TOKEN)


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    """Rows beside the services, each written at once."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield Rows(connection)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server, and a channel to it."""

    server: Server
    engine: AsyncEngine
    channel: grpc.aio.Channel
    purchases: Any
    pricing: Any
    catalog: Any


@asynccontextmanager
async def serving(
    settings: Settings, *more: tuple[Any, Any], **channel_options: Any
) -> AsyncIterator[Served]:
    """The sample services, and others, on a free port of the loopback."""
    engine = async_engine(settings)
    sessions = async_sessions(engine)
    services = [
        (add_PurchaseServiceServicer_to_server, PurchaseService(sessions)),
        (add_PricingServiceServicer_to_server, PricingService(sessions)),
        (add_CatalogServiceServicer_to_server, CatalogService(sessions)),
        *more,
    ]
    try:
        async with (
            Server(settings, services, translate=as_ours) as server,
            create_channel(settings, f"localhost:{server.port}", **channel_options) as channel,
        ):
            yield Served(
                server=server,
                engine=engine,
                channel=channel,
                purchases=PurchaseServiceStub(channel),
                pricing=PricingServiceStub(channel),
                catalog=CatalogServiceStub(channel),
            )
    finally:
        await engine.dispose()


@pytest.fixture
async def served(rpc_settings: Settings) -> AsyncIterator[Served]:
    async with serving(rpc_settings) as found:
        yield found


@pytest.fixture
async def open_served(detached: Settings) -> AsyncIterator[Served]:
    async with serving(detached) as found:
        yield found
