# ruff: noqa: ARG002, D102, N802 - names and arguments are gRPC's, the contract explains the methods

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch.catalog.v1 import (
    BatchGetProductsRequest,
    BatchGetProductsResponse,
    CatalogServiceServicer,
    FindProductByCodeRequest,
    FindProductByCodeResponse,
    GetProductRequest,
    GetProductResponse,
    ListProductSizesRequest,
    ListProductSizesResponse,
    ListStoreLocationsRequest,
    ListStoreLocationsResponse,
    ListStoresRequest,
    ListStoresResponse,
    NormalizedProduct,
    ProductSearchMatch,
    ProductSize,
    SearchProductsRequest,
    SearchProductsResponse,
)
from cartsnitch_common.contract.scalars import (
    from_date,
    from_decimal,
    to_date,
    to_decimal,
    to_money,
)
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.product_codes import find_product_by_code
from cartsnitch_common.db.queries.product_names import select_products_by_name
from cartsnitch_common.db.queries.sizes import SeenSize, list_sizes
from cartsnitch_common.errors import NotFoundError
from cartsnitch_common.rpc import from_page_token, page_size, to_page_token
from tests.sample_services.database import page_of

PRODUCT = NormalizedProduct.DESCRIPTOR.full_name
Product = models.NormalizedProduct
MIN_SCORE = decimal.Decimal("0.3")


class CatalogService(CatalogServiceServicer):
    """Stores and products, read from their tables."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def ListStores(self, request: ListStoresRequest, context: Any) -> ListStoresResponse:
        slug = models.Store.slug
        async with self._sessions() as session:
            rows, token = await page_of(
                session, request, select(models.Store), keys=(slug,), read=(str,)
            )
        stores = [to_message(row[0]) for row in rows]
        return ListStoresResponse(stores=stores, next_page_token=token)

    async def ListStoreLocations(
        self, request: ListStoreLocationsRequest, context: Any
    ) -> ListStoreLocationsResponse:
        location = models.StoreLocation
        query = select(location).where(location.store_id == uuid.UUID(request.store_id))
        async with self._sessions() as session:
            rows, token = await page_of(
                session, request, query, keys=(location.id,), read=(uuid.UUID,)
            )
        locations = [to_message(row[0]) for row in rows]
        return ListStoreLocationsResponse(store_locations=locations, next_page_token=token)

    async def GetProduct(self, request: GetProductRequest, context: Any) -> GetProductResponse:
        async with self._sessions() as session:
            row = await session.get(Product, uuid.UUID(request.id))
        if row is None:
            raise NotFoundError(PRODUCT, "id")
        return GetProductResponse(product=to_message(row))

    async def BatchGetProducts(
        self, request: BatchGetProductsRequest, context: Any
    ) -> BatchGetProductsResponse:
        ids = [uuid.UUID(text) for text in request.ids]
        async with self._sessions() as session:
            found = await session.scalars(select(Product).where(Product.id.in_(ids)))
        rows = {row.id: row for row in found}
        return BatchGetProductsResponse(
            products=[to_message(rows[key]) for key in ids if key in rows],
            missing_ids=[str(key) for key in ids if key not in rows],
        )

    async def FindProductByCode(
        self, request: FindProductByCodeRequest, context: Any
    ) -> FindProductByCodeResponse:
        async with self._sessions() as session:
            row = await find_product_by_code(session, request.code)
        if row is None:
            raise NotFoundError(PRODUCT, "code")
        return FindProductByCodeResponse(product=to_message(row))

    async def SearchProducts(
        self, request: SearchProductsRequest, context: Any
    ) -> SearchProductsResponse:
        least = from_decimal(request.min_score) if request.HasField("min_score") else MIN_SCORE
        position, size = from_page_token(request), page_size(request)
        query = select_products_by_name(
            request.query,
            min_score=least,
            limit=size + 1,
            after=(decimal.Decimal(position[0]), uuid.UUID(position[1])) if position else None,
        )
        async with self._sessions() as session:
            rows = (await session.execute(query)).all()
        matches = [
            ProductSearchMatch(product=to_message(product), score=to_decimal(score))
            for product, score in rows[:size]
        ]
        if len(rows) <= size:
            return SearchProductsResponse(matches=matches)
        product, score = rows[size - 1]
        token = to_page_token(request, (str(score), str(product.id)))
        return SearchProductsResponse(matches=matches, next_page_token=token)

    async def ListProductSizes(
        self, request: ListProductSizesRequest, context: Any
    ) -> ListProductSizesResponse:
        position, size = from_page_token(request), page_size(request)
        async with self._sessions() as session:
            found = await list_sizes(
                session,
                uuid.UUID(request.normalized_product_id),
                store_id=uuid.UUID(request.store_id) if request.HasField("store_id") else None,
                since=from_date(request.from_date) if request.HasField("from_date") else None,
                until=from_date(request.to_date) if request.HasField("to_date") else None,
                after=(dt.date.fromisoformat(position[0]), uuid.UUID(position[1]))
                if position
                else None,
                limit=size + 1,
            )
        sizes = [_size(one) for one in found[:size]]
        if len(found) <= size:
            return ListProductSizesResponse(sizes=sizes)
        token = to_page_token(request, tuple(str(part) for part in found[size - 1].position))
        return ListProductSizesResponse(sizes=sizes, next_page_token=token)


def _size(seen: SeenSize) -> ProductSize:
    return ProductSize(
        normalized_product_id=str(seen.normalized_product_id),
        store_id=str(seen.store_id),
        observed_date=to_date(seen.observed_date),
        size=seen.size,
        size_unit=seen.unit,
        shelf_price=to_money(seen.shelf_price),
        purchase_item_id=str(seen.purchase_item_id),
    )
