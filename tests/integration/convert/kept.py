"""Sessions that have begun and statements that are kept, whose next run may go past SQLAlchemy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch_common.convert import fetch_messages
from cartsnitch_common.db.models import Store


@asynccontextmanager
async def begun(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        await session.execute(text("SELECT 1"))
        yield session


def stores() -> Any:
    """A statement that nobody has run yet."""
    return select(Store).where(Store.slug == bindparam("slug", "meijer")).order_by(Store.id)


async def kept(session: AsyncSession, statement: Any = None, parameters: Any = None) -> Any:
    """A statement that has run once, as SQLAlchemy ran it."""
    statement = stores() if statement is None else statement
    await fetch_messages(session, statement, parameters)
    return statement
