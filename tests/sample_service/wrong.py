"""Mistakes of a service, one a marked line: a type checker must find each, and nothing else."""

# ruff: noqa: B018, T201 - each line is a mistake, on purpose
from __future__ import annotations

import decimal

import grpc
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.catalog.v1 import Store, StoreSlug
from cartsnitch.event.v1 import Envelope, PricesUpdated, ReceiptsIngested
from cartsnitch.purchase import v1 as purchases
from cartsnitch.purchase.v1 import GetPurchaseRequest, Purchase, PurchaseServiceStub
from cartsnitch.type.v1 import Money
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import Service
from cartsnitch_common.contract.scalars import from_money, to_money
from cartsnitch_common.convert import fetch_messages, from_message, stream_messages, to_message
from cartsnitch_common.db import models
from cartsnitch_common.events import Consumer, Event, outbox
from cartsnitch_common.pydantic.purchase.v1 import Purchase as PydanticPurchase
from cartsnitch_common.pydantic_json import from_message as from_stub

purchases.PurchaseServiceStubb  # wrong: no such name
Purchase(receipt_id=42)  # wrong: text
Purchase(reciept_id="42")  # wrong: no such field
Purchase().reciept_id  # wrong: no such field
Purchase().total = Money()  # wrong: a sub-message is not assigned
Store(slug="meijer")  # wrong: the contract's name of the value
Store(slug=StoreSlug.STORE_SLUG_ALDI)  # wrong: no such value
Envelope().HasField("service")  # wrong: a field without presence
to_money(3.49)  # wrong: a float
from_money("3.49")  # wrong: text
amount: float = from_money(Money())  # wrong: a Decimal
Settings.load().database_urll  # wrong: no such setting
Service.STICKERSHOP  # wrong: no such service
price: models.Purchase = to_message(models.Purchase())  # wrong: a message
row: models.Store = from_message(Purchase())  # wrong: a row of purchases
to_message(Purchase())  # wrong: a message is no row
models.Purchase().total.upper()  # wrong: a Decimal
from_stub(PydanticPurchase, Purchase()).total.units  # wrong: may be unset
from_stub(PydanticPurchase, Purchase()).receipt_no  # wrong: no such field


def ask(channel: grpc.Channel) -> None:
    """Calls with mistakes."""
    stub = PurchaseServiceStub(channel)
    stub.GetPurchase(Purchase())  # wrong: another request
    stub.GetPurchases(GetPurchaseRequest())  # wrong: no such method
    stub.GetPurchase(GetPurchaseRequest()).receipt_id  # wrong: of the purchase in it


def subscribe(consumer: Consumer[AsyncSession]) -> None:
    """Handlers with mistakes."""

    @consumer.on(PricesUpdated)  # wrong: the handler takes another event
    async def on_receipts(event: Event[ReceiptsIngested], session: AsyncSession) -> None:
        print(event, session)

    @consumer.on(Event)  # wrong: no payload
    async def on_event(event: Event[PricesUpdated], session: AsyncSession) -> None:
        print(event.payload.receipts, session)  # wrong: no such field


async def read(session: AsyncSession) -> None:
    """Statements with mistakes."""
    await fetch_messages(session, select(models.Store.id))  # wrong: a column
    await fetch_messages(session, select(models.Store, models.User))  # wrong: two entities
    await fetch_messages(session, select(models.CurrentPrice))  # wrong: it has no message
    await fetch_messages(session, select(models.Store), with_items=True)  # wrong: it has none
    for store in await fetch_messages(session, select(models.Store)):
        store.regular_price  # wrong: of a price
    async for price in stream_messages(session, select(models.PriceHistory)):
        price.slug  # wrong: of a store


async def publish(session: AsyncSession) -> None:
    """Events with mistakes."""
    await outbox.enqueue(session, PricesUpdated(), service="api")  # wrong: no key
    await outbox.enqueue(session, models.Store(), service="api", key="1")  # wrong: a row
    await outbox.enqueue(session, PricesUpdated(), service="api", key=1)  # wrong: text
    print(decimal.Decimal(amount))
