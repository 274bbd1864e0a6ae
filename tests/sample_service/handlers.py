"""StickerShock's part of the bus: two events in, one out."""

from __future__ import annotations

import asyncio
import decimal
import logging
from typing import assert_never

from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch.event.v1 import PriceIncreaseDetected, PricesUpdated, ShrinkflationDetected
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import Service, StoreSlug
from cartsnitch_common.contract.scalars import from_money, to_decimal
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.events import Consumer, Event, async_redis, outbox
from cartsnitch_common.events.inbox import SqlInbox

_LOG = logging.getLogger(__name__)


def build(settings: Settings) -> Consumer[AsyncSession]:
    """The consumer with its two handlers."""
    sessions = async_sessions(async_engine(settings))
    consumer = Consumer(async_redis(settings), SqlInbox(sessions), group="stickershock")
    consumer.on(PricesUpdated)(on_prices)

    @consumer.on(ShrinkflationDetected)
    async def on_finding(event: Event[ShrinkflationDetected], session: AsyncSession) -> None:
        row = await session.get(models.NormalizedProduct, event.payload.finding.id)
        brand: str | None = row.brand if row is not None else None
        _LOG.info("%s at %s", brand or event.payload.canonical_name, event.timestamp.isoformat())

    return consumer


async def on_prices(event: Event[PricesUpdated], session: AsyncSession) -> None:
    """Tell of each price that rose above ten dollars."""
    for observation in event.payload.observations:
        if _price(observation) > decimal.Decimal(10):
            found = PriceIncreaseDetected(
                store_id=event.payload.store_id,
                store=event.payload.store,
                current_price=observation.regular_price,
                current_date=observation.observed_date,
                increase_ratio=to_decimal(decimal.Decimal("0.1")),
            )
            envelope = await outbox.enqueue(
                session, found, service=Service.STICKERSHOCK, key=observation.store_id
            )
            _LOG.info("sent %s", envelope.event_id.upper())


def _price(observation: PriceObservation) -> decimal.Decimal:
    return from_money(observation.regular_price)


def aisle(slug: StoreSlug) -> str:
    """Every retailer has a case: a fourth one is a type error here."""
    match slug:
        case StoreSlug.MEIJER | StoreSlug.KROGER:
            return "grocery"
        case StoreSlug.TARGET:
            return "market"
        case _:
            assert_never(slug)


async def main() -> None:
    """Run until it is told to stop."""
    settings = Settings.load(database_url="postgresql://u@localhost/d")
    url: str = settings.require_database_url()
    consumer = build(settings)
    await consumer.run(asyncio.Event())
    total: int = consumer.stats.handled
    _LOG.info("%d handled, of %d characters", total, len(url))
