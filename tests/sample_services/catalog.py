# ruff: noqa: ARG002, D102, N802 - names and arguments are gRPC's, the contract explains the methods

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

from sqlalchemy import Numeric, cast, func, literal, or_, select
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
from cartsnitch_common.contract.scalars import from_decimal, to_date, to_decimal, to_money
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.errors import NotFoundError
from cartsnitch_common.values.sizes import find_size
from tests.sample_services.database import at_store, in_days, page_of

PRODUCT = NormalizedProduct.DESCRIPTOR.full_name
Product = models.NormalizedProduct


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
        # Leading zeros carry no meaning; each spelling is one lookup in the index.
        digits = request.code.lstrip("0")
        spellings = {request.code, *(digits.zfill(length) for length in (4, 5, 8, 12, 13, 14))}
        hits = or_(*(Product.upc_variants.contains([code]) for code in sorted(spellings)))
        async with self._sessions() as session:
            row = await session.scalar(select(Product).where(hits).order_by(Product.id).limit(1))
        if row is None:
            raise NotFoundError(PRODUCT, "code")
        return FindProductByCodeResponse(product=to_message(row))

    async def SearchProducts(
        self, request: SearchProductsRequest, context: Any
    ) -> SearchProductsResponse:
        # A real service searches by trigrams; here the share of the name that was typed will do.
        name = func.lower(Product.canonical_name)
        typed = func.lower(literal(request.query))
        share = func.length(typed) * decimal.Decimal("1.0000") / func.length(name)
        score = cast(func.least(share, 1), Numeric(5, 4))
        query = select(Product).where(name.contains(typed, autoescape=False))
        if request.HasField("min_score"):
            query = query.where(score >= from_decimal(request.min_score))
        async with self._sessions() as session:
            rows, token = await page_of(
                session,
                request,
                query,
                keys=(-score, Product.id),
                read=(decimal.Decimal, uuid.UUID),
            )
        matches = [
            ProductSearchMatch(product=to_message(row[0]), score=to_decimal(-row[1]))
            for row in rows
        ]
        return SearchProductsResponse(matches=matches, next_page_token=token)

    async def ListProductSizes(
        self, request: ListProductSizesRequest, context: Any
    ) -> ListProductSizesResponse:
        item, purchase = models.PurchaseItem, models.Purchase
        query = (
            select(item, purchase.store_id)
            .join(purchase, purchase.id == item.purchase_id)
            .where(
                item.normalized_product_id == uuid.UUID(request.normalized_product_id),
                *at_store(purchase.store_id, request),
                *in_days(purchase.purchase_date, request),
            )
        )
        async with self._sessions() as session:
            rows, token = await page_of(
                session,
                request,
                query,
                keys=(purchase.purchase_date, item.id),
                read=(dt.date.fromisoformat, uuid.UUID),
            )
        sizes = [size for row in rows if (size := _size(*row[:3])) is not None]
        return ListProductSizesResponse(sizes=sizes, next_page_token=token)


def _size(item: models.PurchaseItem, store_id: uuid.UUID, day: dt.date) -> ProductSize | None:
    found = find_size(item.product_name_raw)
    if found is None:
        return None
    price = item.regular_price if item.regular_price is not None else item.unit_price
    return ProductSize(
        normalized_product_id=str(item.normalized_product_id),
        store_id=str(store_id),
        observed_date=to_date(day),
        size=found[0],
        size_unit=found[1],
        shelf_price=to_money(price),
        purchase_item_id=str(item.id),
    )
