# ruff: noqa: ARG002, D102, N802 - names and arguments are gRPC's, the contract explains the methods

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import selectinload

from cartsnitch.purchase.v1 import (
    BatchGetPurchasesRequest,
    BatchGetPurchasesResponse,
    GetPurchaseRequest,
    GetPurchaseResponse,
    ListPurchasesRequest,
    ListPurchasesResponse,
    Purchase,
    PurchaseServiceServicer,
    Receipt,
    RecordPurchaseRequest,
    RecordPurchaseResponse,
)
from cartsnitch_common.cli.demo.ingest import record
from cartsnitch_common.cli.demo.receipts import slug_of
from cartsnitch_common.convert import from_message, to_message
from cartsnitch_common.db import models
from cartsnitch_common.errors import NotFoundError, ReceiptConflictError
from cartsnitch_common.rpc import request_field
from cartsnitch_common.values.ids import new_uuid
from tests.sample_services.database import in_days, page_of

LARGEST_PART = 4 * 1024 * 1024
AT = "receipt.purchase"


class PurchaseService(PurchaseServiceServicer):
    """Purchases, recorded and read in one transaction a call."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def RecordPurchase(
        self, request: RecordPurchaseRequest, context: Any
    ) -> RecordPurchaseResponse:
        async with self._sessions.begin() as session:
            store = await _check_parents(session, request.receipt)
            _check_storable(request.receipt, store)
            try:
                recorded = await record(session, request.receipt)
            except ReceiptConflictError as error:
                # The demonstration reads JSON and names fields as JSON does.
                path = re.sub("[A-Z]", lambda match: f"_{match[0].lower()}", error.field)
                raise ReceiptConflictError(f"receipt.{path}", error.receipt_id) from None
            query = _with_items().where(models.Purchase.id == recorded.purchase_id)
            row: models.Purchase = (await session.scalars(query)).one()
            purchase = to_message(row)
        return RecordPurchaseResponse(purchase=purchase, created=recorded.is_new)

    async def GetPurchase(self, request: GetPurchaseRequest, context: Any) -> GetPurchaseResponse:
        query = _with_items().where(models.Purchase.id == uuid.UUID(request.id))
        async with self._sessions() as session:
            row: models.Purchase | None = await session.scalar(query)
        if row is None:
            raise NotFoundError(Purchase.DESCRIPTOR.full_name, "id")
        return GetPurchaseResponse(purchase=to_message(row))

    async def BatchGetPurchases(
        self, request: BatchGetPurchasesRequest, context: Any
    ) -> AsyncIterator[BatchGetPurchasesResponse]:
        missing = []
        part, size = BatchGetPurchasesResponse(), 0
        async with self._sessions() as session:
            for text in request.ids:
                row: models.Purchase | None = await session.scalar(
                    _with_items().where(models.Purchase.id == uuid.UUID(text))
                )
                if row is None:
                    missing.append(text)
                    continue
                purchase = to_message(row)
                if size and size + purchase.ByteSize() > LARGEST_PART - 1024:
                    yield part
                    part, size = BatchGetPurchasesResponse(), 0
                part.purchases.append(purchase)
                size += purchase.ByteSize() + 8
        if size + 40 * len(missing) > LARGEST_PART - 1024:
            yield part
            part = BatchGetPurchasesResponse()
        part.missing_ids.extend(missing)
        yield part

    async def ListPurchases(
        self, request: ListPurchasesRequest, context: Any
    ) -> ListPurchasesResponse:
        day = models.Purchase.purchase_date
        query = select(models.Purchase).where(
            models.Purchase.user_id == request.user_id, *in_days(day, request)
        )
        async with self._sessions() as session:
            rows, token = await page_of(
                session,
                request,
                query,
                keys=(day, models.Purchase.id),
                read=(dt.date.fromisoformat, uuid.UUID),
                descending=True,
            )
        purchases = [to_message(row[0]) for row in rows]
        return ListPurchasesResponse(purchases=purchases, next_page_token=token)


def _with_items() -> Any:
    return select(models.Purchase).options(selectinload(models.Purchase.items))


async def _check_parents(session: AsyncSession, receipt: Receipt) -> models.Store:
    purchase = receipt.purchase
    slug = slug_of(receipt.store)
    store = await session.scalar(select(models.Store).where(models.Store.slug == slug))
    if store is None:
        raise NotFoundError("cartsnitch.catalog.v1.Store", "receipt.store")
    if await session.get(models.User, purchase.user_id) is None:
        raise NotFoundError("cartsnitch.account.v1.User", f"{AT}.user_id")
    if purchase.HasField("store_location_id"):
        location = await session.get(models.StoreLocation, uuid.UUID(purchase.store_location_id))
        if location is None or location.store_id != store.id:
            kind = "cartsnitch.catalog.v1.StoreLocation"
            raise NotFoundError(kind, f"{AT}.store_location_id")
    for index, item in enumerate(purchase.items):
        if item.HasField("normalized_product_id") and not await session.get(
            models.NormalizedProduct, uuid.UUID(item.normalized_product_id)
        ):
            path = f"{AT}.items[{index}].normalized_product_id"
            raise NotFoundError("cartsnitch.catalog.v1.NormalizedProduct", path)
    return store


def _check_storable(receipt: Receipt, store: models.Store) -> None:
    """Refuse what the columns cannot hold exactly, by the path that the caller knows."""
    purchase = Purchase()
    purchase.CopyFrom(receipt.purchase)
    purchase.id, purchase.store_id = str(new_uuid()), str(store.id)
    for item in purchase.items:
        item.id, item.purchase_id = str(new_uuid()), purchase.id
    with request_field(AT):
        from_message(purchase)
