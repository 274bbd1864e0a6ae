"""A server and a client of PurchaseService, rows on one side and messages on the other."""

# ruff: noqa: N802, D102, ARG002 - gRPC names the methods, and the contract explains them
from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from cartsnitch.catalog.v1 import StoreSlug
from cartsnitch.purchase.v1 import (
    BatchGetPurchasesRequest,
    GetPurchaseRequest,
    GetPurchaseResponse,
    ListPurchasesRequest,
    Purchase,
    PurchaseServiceServicer,
    PurchaseServiceStub,
    Receipt,
    RecordPurchaseRequest,
    RecordPurchaseResponse,
    add_PurchaseServiceServicer_to_server,
)
from cartsnitch_common.convert import from_message, to_message
from cartsnitch_common.db import models
from cartsnitch_common.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

    from cartsnitch.purchase.v1 import (
        BatchGetPurchasesResponse,
        ListPurchasesResponse,
        PurchaseServiceAsyncStub,
    )

type Context = aio.ServicerContext[Any, Any]


class Purchases(PurchaseServiceServicer):
    """The service on a database."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def GetPurchase(
        self, request: GetPurchaseRequest, context: Context
    ) -> GetPurchaseResponse:
        async with self._sessions() as session:
            row = await _find(session, uuid.UUID(request.id))
        if row is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such purchase")
        return GetPurchaseResponse(purchase=to_message(row))

    async def RecordPurchase(
        self, request: RecordPurchaseRequest, context: Context
    ) -> RecordPurchaseResponse:
        try:
            row: models.Purchase = from_message(request.receipt.purchase)
        except InvalidFieldError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{error.field}: {error.reason}")
        async with self._sessions.begin() as session:
            session.add(row)
        return RecordPurchaseResponse(purchase=to_message(row), created=True)

    async def ListPurchases(
        self, request: ListPurchasesRequest, context: Context
    ) -> ListPurchasesResponse:
        raise NotImplementedError(request.user_id)

    async def BatchGetPurchases(
        self, request: BatchGetPurchasesRequest, context: Context
    ) -> AsyncIterator[BatchGetPurchasesResponse]:
        raise NotImplementedError(len(request.ids))
        yield


async def _find(session: AsyncSession, key: uuid.UUID) -> models.Purchase | None:
    query = (
        select(models.Purchase)
        .where(models.Purchase.id == key)
        .options(selectinload(models.Purchase.items))
    )
    return (await session.scalars(query)).one_or_none()


def serve(sessions: async_sessionmaker[AsyncSession]) -> aio.Server:
    """A server with the service on it."""
    server = aio.server()
    add_PurchaseServiceServicer_to_server(Purchases(sessions), server)
    return server


async def ask(key: str) -> str | None:
    """Call the service."""
    async with aio.insecure_channel("127.0.0.1:1") as channel:
        stub: PurchaseServiceAsyncStub = PurchaseServiceStub(channel)
        answer: GetPurchaseResponse = await stub.GetPurchase(GetPurchaseRequest(id=key), timeout=2)
    found: Purchase = answer.purchase
    receipt = Receipt(store=StoreSlug.STORE_SLUG_MEIJER, purchase=found)
    names: list[str] = [item.product_name_raw for item in receipt.purchase.items]
    return names[0] if names and found.HasField("source_url") else None


def ask_at_once(key: str) -> bytes:
    """Call the service from code without asyncio."""
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        answer = PurchaseServiceStub(channel).GetPurchase(GetPurchaseRequest(id=key))
    return answer.purchase.SerializeToString()
