"""One way to use the asynchronous and the synchronous engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

type AnyEngine = AsyncEngine | Engine

STATES = """SELECT coalesce(state, '?') FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()
               AND backend_type = 'client backend'"""


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


async def until(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Wait for what a server or another thread does."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - neither sets an Event
            await asyncio.sleep(0.01)


def states(url: str) -> list[str]:
    """What the connections of the test's database do."""
    with psycopg.connect(url) as connection:
        return [state for (state,) in connection.execute(STATES)]
