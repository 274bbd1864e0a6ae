"""Databases with data sets, made when a comparison first asks for one of that size."""

from __future__ import annotations

import zlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import asyncpg
import psycopg

from _bench.dataset import fill_prices, fill_products
from cartsnitch_common.db.engine import async_engine, async_sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from _bench.world import World
    from cartsnitch_common.config import Settings

PRODUCTS: Final = 20_000
"""How many products a price history is of, whatever its length."""


async def price_database(world: World, rows: int, *, without: str = "") -> Settings:
    """A database with a price history.

    Args:
        world: Keeps it.
        rows: How many prices of a full run.
        without: SQL that takes something away, for comparisons of what it costs.
    """

    def fill(connection: psycopg.Connection) -> None:
        products = world.size(PRODUCTS)
        fill_products(connection, products)
        fill_prices(connection, world.size(rows), products=products)

    return await _database(world, f"prices_{rows}", fill, without)


async def product_database(world: World, count: int, *, without: str = "") -> Settings:
    """A database with products and no prices; arguments as of ``price_database``."""

    def fill(connection: psycopg.Connection) -> None:
        fill_products(connection, world.size(count))

    return await _database(world, f"products_{count}", fill, without)


@asynccontextmanager
async def open_session(settings: Settings) -> AsyncIterator[AsyncSession]:
    """A session as a service has it, on an engine of its own."""
    engine = async_engine(settings)
    try:
        async with async_sessions(engine)() as session:
            yield session
    finally:
        await engine.dispose()


@asynccontextmanager
async def open_driver(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the driver alone."""
    connection = await asyncpg.connect(settings.require_database_url())
    try:
        yield connection
    finally:
        await connection.close()


async def _database(
    world: World, name: str, fill: Callable[[psycopg.Connection], None], without: str
) -> Settings:
    if without:
        name += f"_without_{zlib.crc32(without.encode()):x}"

    async def make(world: World) -> AsyncIterator[Settings]:
        settings = await world.settings(name)
        with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
            fill(connection)
            if without:
                connection.execute(without)
        yield settings

    return await world.get(f"data set:{name}", make)
