# ruff: noqa: ARG002, D102, N802 - names and arguments are gRPC's, the contract explains the methods

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch.pricing.v1 import (
    BatchGetLatestPricesRequest,
    BatchGetLatestPricesResponse,
    ListPriceIncreasesRequest,
    ListPriceIncreasesResponse,
    ListPriceObservationsRequest,
    ListPriceObservationsResponse,
    PriceIncrease,
    PricingServiceServicer,
    StreamPriceObservationsRequest,
    StreamPriceObservationsResponse,
)
from cartsnitch_common.contract.scalars import from_date, to_date, to_decimal, to_money
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.queries import increases
from cartsnitch_common.db.queries.increases import price_increases
from cartsnitch_common.db.queries.prices import latest_prices, price_history
from tests.sample_services.database import at_store, cut, days_of, in_days, place_of, store_of

PART = 500
Price = models.PriceHistory


class PricingService(PricingServiceServicer):
    """Prices as they were seen, read from ``price_history``."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def ListPriceObservations(
        self, request: ListPriceObservationsRequest, context: Any
    ) -> ListPriceObservationsResponse:
        async with self._sessions() as session:
            found = await price_history(
                session,
                uuid.UUID(request.normalized_product_id),
                store_id=store_of(request),
                **days_of(request),
                **place_of(request),
            )
        points, token = cut(request, found, lambda point: point.position)
        observations = [to_message(point.price) for point in points]
        return ListPriceObservationsResponse(observations=observations, next_page_token=token)

    async def StreamPriceObservations(
        self, request: StreamPriceObservationsRequest, context: Any
    ) -> AsyncIterator[StreamPriceObservationsResponse]:
        series = (Price.normalized_product_id, Price.store_id, Price.observed_date, Price.id)
        query = select(Price).where(
            *at_store(Price.store_id, request), *in_days(Price.observed_date, request)
        )
        if request.HasField("normalized_product_id"):
            product = uuid.UUID(request.normalized_product_id)
            query = query.where(Price.normalized_product_id == product)
        async with self._sessions() as session:
            # One snapshot, and no more rows in memory than a part has.
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            query = query.order_by(*series).execution_options(yield_per=PART)
            rows = await session.stream_scalars(query)
            async for part in rows.partitions(PART):
                yield StreamPriceObservationsResponse(
                    observations=[to_message(row) for row in part]
                )

    async def BatchGetLatestPrices(
        self, request: BatchGetLatestPricesRequest, context: Any
    ) -> BatchGetLatestPricesResponse:
        ids = [uuid.UUID(text) for text in request.normalized_product_ids]
        async with self._sessions() as session:
            rows = await latest_prices(session, ids, store_id=store_of(request))
        seen = {row.normalized_product_id for row in rows}
        return BatchGetLatestPricesResponse(
            observations=[to_message(row) for row in rows],
            missing_ids=[str(product) for product in ids if product not in seen],
        )

    async def ListPriceIncreases(
        self, request: ListPriceIncreasesRequest, context: Any
    ) -> ListPriceIncreasesResponse:
        async with self._sessions() as session:
            found = await price_increases(
                session,
                from_date(request.since_date),
                store_id=store_of(request),
                **place_of(request),
            )
        rows, token = cut(request, found, lambda row: row.position)
        increases = [_increase(row) for row in rows]
        return ListPriceIncreasesResponse(increases=increases, next_page_token=token)


def _increase(row: increases.PriceIncrease) -> PriceIncrease:
    increase = PriceIncrease(
        normalized_product_id=str(row.normalized_product_id),
        store_id=str(row.store_id),
        previous_price=to_money(row.previous_price),
        current_price=to_money(row.current_price),
        previous_date=to_date(row.previous_date),
        current_date=to_date(row.current_date),
        price_observation_id=str(row.price_observation_id),
    )
    if row.ratio is not None:
        increase.increase_ratio.CopyFrom(to_decimal(row.ratio))
    return increase
