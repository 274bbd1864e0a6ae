# ruff: noqa: ARG002, D102, N802 - names and arguments are gRPC's, the contract explains the methods

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import func, select
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
from tests.sample_services.database import at_store, in_days, page_of

PART = 500
Price = models.PriceHistory


class PricingService(PricingServiceServicer):
    """Prices as they were seen, read from ``price_history``."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def ListPriceObservations(
        self, request: ListPriceObservationsRequest, context: Any
    ) -> ListPriceObservationsResponse:
        query = select(Price).where(
            Price.normalized_product_id == uuid.UUID(request.normalized_product_id),
            *at_store(Price.store_id, request),
            *in_days(Price.observed_date, request),
        )
        async with self._sessions() as session:
            rows, token = await page_of(
                session,
                request,
                query,
                keys=(Price.observed_date, Price.id),
                read=(dt.date.fromisoformat, uuid.UUID),
            )
        observations = [to_message(row[0]) for row in rows]
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
        place = func.row_number().over(
            partition_by=(Price.normalized_product_id, Price.store_id),
            order_by=(Price.observed_date.desc(), Price.id.desc()),
        )
        ranked = (
            select(Price.id, place.label("place"))
            .where(Price.normalized_product_id.in_(ids), *at_store(Price.store_id, request))
            .subquery()
        )
        query = select(Price).join(ranked, Price.id == ranked.c.id).where(ranked.c.place == 1)
        async with self._sessions() as session:
            found = (await session.scalars(query)).all()
        order = {product: index for index, product in enumerate(ids)}
        rows = sorted(found, key=lambda row: (order[row.normalized_product_id], row.store_id))
        seen = {row.normalized_product_id for row in rows}
        return BatchGetLatestPricesResponse(
            observations=[to_message(row) for row in rows],
            missing_ids=[str(product) for product in ids if product not in seen],
        )

    async def ListPriceIncreases(
        self, request: ListPriceIncreasesRequest, context: Any
    ) -> ListPriceIncreasesResponse:
        series = (Price.normalized_product_id, Price.store_id)
        # Of one day only the latest counts, on either side.
        place = func.row_number().over(
            partition_by=(*series, Price.observed_date), order_by=Price.id.desc()
        )
        days = (
            select(Price.id, *series, Price.observed_date, Price.regular_price)
            .add_columns(place.label("place"))
            .where(*at_store(Price.store_id, request))
            .subquery()
        )
        day = days.c

        def before(column: Any) -> Any:
            by_store = (day.normalized_product_id, day.store_id)
            return func.lag(column).over(partition_by=by_store, order_by=day.observed_date)

        steps = (
            select(
                *(column for column in day if column.key != "place"),
                before(day.regular_price).label("previous_price"),
                before(day.observed_date).label("previous_date"),
            )
            .where(day.place == 1)
            .subquery()
        )
        query = select(*steps.c).where(
            steps.c.regular_price > steps.c.previous_price,
            steps.c.observed_date >= from_date(request.since_date),
        )
        async with self._sessions() as session:
            rows, token = await page_of(
                session,
                request,
                query,
                keys=(steps.c.observed_date, steps.c.id),
                read=(dt.date.fromisoformat, uuid.UUID),
            )
        increases = [_increase(row) for row in rows]
        return ListPriceIncreasesResponse(increases=increases, next_page_token=token)


def _increase(row: Any) -> PriceIncrease:
    increase = PriceIncrease(
        normalized_product_id=str(row.normalized_product_id),
        store_id=str(row.store_id),
        previous_price=to_money(row.previous_price),
        current_price=to_money(row.regular_price),
        previous_date=to_date(row.previous_date),
        current_date=to_date(row.observed_date),
        price_observation_id=str(row.id),
    )
    if row.previous_price:
        ratio = (row.regular_price - row.previous_price) / row.previous_price
        increase.increase_ratio.CopyFrom(to_decimal(ratio.quantize(decimal.Decimal("0.0001"))))
    return increase
