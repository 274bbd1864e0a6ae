"""Receipts that are recorded, and what is read back of them."""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.db import models
from cartsnitch_common.events import decode, payload_of
from cartsnitch_common.recording import RecordedPurchase, record_purchase

type Sessions = async_sessionmaker[AsyncSession]

DAY = dt.date(2026, 3, 10)
WRITTEN = (models.Purchase, models.PurchaseItem, models.PriceHistory, models.OutboxEvent)


async def record(sessions: Sessions, purchase: Purchase, **more: Any) -> RecordedPurchase:
    async with sessions.begin() as session:
        return await record_purchase(session, purchase, **more)


async def counts(sessions: Sessions) -> list[int]:
    async with sessions() as session:
        return [
            await session.scalar(select(func.count()).select_from(model)) or 0 for model in WRITTEN
        ]


async def events(sessions: Sessions) -> list[Any]:
    async with sessions() as session:
        rows = await session.scalars(select(models.OutboxEvent).order_by(models.OutboxEvent.id))
        return [(row.key, payload_of(decode(row.envelope))) for row in rows]


def changed(purchase: Purchase) -> Purchase:
    other = Purchase()
    other.CopyFrom(purchase)
    return other
