"""Messages by the thousand, of statements whose entity is known and of one where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.orm import aliased

from cartsnitch_common.convert import fetch_messages, stream_messages
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.product_codes import ask_products_by_code

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

    from cartsnitch.catalog.v1 import NormalizedProduct
    from cartsnitch.pricing.v1 import PriceObservation
    from cartsnitch.purchase.v1 import Purchase


async def prices(session: AsyncSession, statement: Select[Any]) -> list[PriceObservation]:
    """What a function gave that says no more than that it is a statement."""
    found: list[PriceObservation] = await fetch_messages(session, statement, {"store": 1})
    return found or [one async for one in stream_messages(session, statement, batch_size=10)]


async def products(session: AsyncSession, code: str) -> list[NormalizedProduct]:
    """A statement that is kept, and its values."""
    return await fetch_messages(session, *ask_products_by_code(code))


async def purchases(connection: AsyncConnection) -> list[Purchase]:
    """Of an alias, with their items."""
    latest = aliased(models.Purchase)
    statement = select(latest).order_by(latest.purchase_date.desc())
    return await fetch_messages(connection, statement, with_items=True)
