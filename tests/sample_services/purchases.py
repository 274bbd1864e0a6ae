# ruff: noqa: ARG002, D102, N802 - names and arguments are gRPC's, the contract explains the methods

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch.purchase.v1 import (
    BatchGetPurchasesRequest,
    BatchGetPurchasesResponse,
    GetPurchaseRequest,
    GetPurchaseResponse,
    ListPurchasesRequest,
    ListPurchasesResponse,
    Purchase,
    PurchaseServiceServicer,
    RecordPurchaseRequest,
    RecordPurchaseResponse,
)
from cartsnitch_common.cli.demo.receipts import slug_of
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.product_codes import find_products_by_codes
from cartsnitch_common.db.queries.purchases import select_purchases, with_items
from cartsnitch_common.errors import NotFoundError, ReceiptConflictError
from cartsnitch_common.recording import record_purchase
from cartsnitch_common.rpc import request_field
from tests.sample_services.database import cut, days_of, place_of

LARGEST_PART = 4 * 1024 * 1024
AT = "receipt.purchase"


class PurchaseService(PurchaseServiceServicer):
    """Purchases, recorded and read in one transaction a call."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def RecordPurchase(
        self, request: RecordPurchaseRequest, context: Any
    ) -> RecordPurchaseResponse:
        receipt, purchase = request.receipt, Purchase()
        purchase.CopyFrom(receipt.purchase)
        async with self._sessions.begin() as session:
            slug = slug_of(receipt.store)
            query = select(models.Store.id).where(models.Store.slug == slug)
            store_id = await session.scalar(query)
            if store_id is None:
                raise NotFoundError("cartsnitch.catalog.v1.Store", "receipt.store")
            purchase.store_id = str(store_id)
            codes = {item.upc for item in purchase.items if item.HasField("upc")}
            products = await find_products_by_codes(session, sorted(codes))
            for item in purchase.items:
                if item.upc in products and not item.HasField("normalized_product_id"):
                    item.normalized_product_id = str(products[item.upc].id)
            try:
                with request_field(AT):
                    recorded = await record_purchase(session, purchase)
            except ReceiptConflictError as error:
                raise ReceiptConflictError(f"{AT}.{error.field}", error.receipt_id) from None
            except NotFoundError as error:
                raise NotFoundError(error.resource_type, f"{AT}.{error.field}") from None
        return RecordPurchaseResponse(purchase=recorded.purchase, created=recorded.is_new)

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
        async with self._sessions() as session:
            query = select_purchases(request.user_id, **days_of(request), **place_of(request))
            found = list(await session.scalars(query))
        rows, token = cut(request, found, lambda row: (row.purchase_date, row.id))
        purchases = [to_message(row) for row in rows]
        return ListPurchasesResponse(purchases=purchases, next_page_token=token)


def _with_items() -> Any:
    return with_items(select(models.Purchase))
