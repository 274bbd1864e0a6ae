"""What a database, a role or a caller sets of transactions, and what an engine makes of it."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, sync_engine
from cartsnitch_common.errors import DatabaseUnavailableError, TimeLimitError
from tests.integration.engine.either import AnyEngine, run

LEVEL = "SHOW transaction_isolation"


@pytest.fixture(params=["serializable", "repeatable read"])
def own(request: pytest.FixtureRequest, database: str) -> Settings:
    """Settings for a database whose default is another level than PostgreSQL's."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            f"ALTER DATABASE {name} SET default_transaction_isolation = '{request.param}'"
        )
    return Settings.load(database_url=database, database_statement_timeout=2, database_pool_size=1)


async def test_a_transaction_is_read_committed(engine: AnyEngine) -> None:
    """The level that the package's locks and triggers need, whatever the database's default."""
    assert await run(engine, LEVEL) == [("read committed",)]
    reading = engine.execution_options(postgresql_readonly=True)
    assert await run(reading, LEVEL) == [("read committed",)]


async def test_another_level_is_the_callers(engine: AnyEngine) -> None:
    """Who asks for one has it, and the connection's next transaction has not."""
    for level in ("REPEATABLE READ", "SERIALIZABLE", "AUTOCOMMIT"):
        found = await run(engine.execution_options(isolation_level=level), LEVEL)
        assert level == "AUTOCOMMIT" or found == [(level.lower(),)]
        assert await run(engine, LEVEL) == [("read committed",)]


async def test_an_engine_may_have_another_level(own: Settings) -> None:
    """The caller's option wins, under both drivers."""
    pool = async_engine(own, isolation_level="SERIALIZABLE")
    assert await run(pool, LEVEL) == [("serializable",)]
    await pool.dispose()
    blocking = sync_engine(own, isolation_level="SERIALIZABLE")
    assert await run(blocking, LEVEL) == [("serializable",)]
    blocking.dispose()


async def test_prices_can_be_deleted(engine: AnyEngine) -> None:
    """Their trigger refuses other levels, so the default of a database would refuse them all."""
    await run(
        engine,
        "INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')",
        "INSERT INTO normalized_products (canonical_name) VALUES ('Milk')",
        "INSERT INTO price_history"
        " (normalized_product_id, store_id, observed_date, regular_price, source)"
        " SELECT p.id, s.id, '2026-03-10', 1, 'catalog' FROM normalized_products p, stores s",
    )
    await run(engine, "DELETE FROM price_history")
    assert await run(engine, "SELECT count(*) FROM current_prices") == [(0,)]


@pytest.mark.parametrize(
    ("begin", "level"),
    [
        ("BEGIN", "read committed"),
        ("begin read only", "read committed"),
        ("\n Start  transaction", "read committed"),
        ("BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY", "serializable"),
        ("begin isolation level repeatable read;", "repeatable read"),
    ],
)
async def test_code_that_begins_by_itself(own: Settings, begin: str, level: str) -> None:
    """What says BEGIN on asyncpg's connection, however it spells it, has level and limit."""
    engine = async_engine(own)
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.execute(begin)
        assert await driver.fetchval(LEVEL) == level
        assert await driver.fetchval("SHOW statement_timeout") == "2s"
        assert await driver.fetchval("SHOW transaction_read_only") == (
            "on" if "only" in begin.lower() else "off"
        )
        await driver.execute("ROLLBACK")
        assert await connection.scalar(text(LEVEL)) == "read committed"
    await engine.dispose()


async def test_the_limit_of_time_outside_transactions(database: str) -> None:
    """By asyncpg it gives up by itself; psycopg has the limit of the role, or of the database."""
    limits = {"database_statement_timeout": 0.1, "database_connect_timeout": 0.5}
    settings = Settings.load(database_url=database, **limits)
    engine = async_engine(settings, isolation_level="AUTOCOMMIT")
    with pytest.raises(DatabaseUnavailableError):
        await run(engine, "SELECT pg_sleep(20)")
    await engine.dispose()
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {connection.info.dbname} SET statement_timeout = 300")
    blocking = sync_engine(settings, isolation_level="AUTOCOMMIT")
    assert await run(blocking, "SHOW statement_timeout") == [("300ms",)]
    with pytest.raises(TimeLimitError):
        await run(blocking, "SELECT pg_sleep(20)")
    blocking.dispose()
