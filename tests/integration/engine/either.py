"""One way to use the asynchronous and the synchronous engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

type AnyEngine = AsyncEngine | Engine


async def run(engine: AnyEngine, *statements: str, **values: Any) -> list[Any]:
    """Run statements in one transaction and commit it; the last one's rows."""
    rows: list[Any] = []
    if isinstance(engine, AsyncEngine):
        async with engine.begin() as connection:
            for statement in statements:
                result = await connection.execute(text(statement), values)
                rows = list(result) if result.returns_rows else []
    else:
        with engine.begin() as connection:
            for statement in statements:
                result = connection.execute(text(statement), values)
                rows = list(result) if result.returns_rows else []
    return rows
