from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.embedded import EmbeddedServers
from cartsnitch_common.testing.plugin import _own_database
from tests.rows import Rows


@pytest.fixture(scope="module")
def shared_database(cartsnitch_servers: EmbeddedServers, cartsnitch_template: str) -> Iterator[str]:
    """The URL of a database at head that the tests of a module share."""
    yield from _own_database(cartsnitch_servers.database_url, template=cartsnitch_template)


@pytest.fixture(scope="module")
def stores_and_products(shared_database: str) -> tuple[list[Any], list[Any]]:
    """The ids of two stores and of three products in the database that is shared."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        rows = Rows(connection)
        stores = [rows.add("stores", slug=slug) for slug in ("meijer", "kroger")]
        return stores, [rows.add("normalized_products") for _ in range(3)]


@pytest.fixture
def rows(database: str) -> Iterator[Rows]:
    """Inserts rows into the test's own database, each at once committed."""
    with psycopg.connect(database, autocommit=True) as connection:
        yield Rows(connection)


@pytest.fixture
async def session(database: str) -> AsyncIterator[AsyncSession]:
    """A session on the test's own database."""
    engine = async_engine(Settings.load(database_url=database))
    async with async_sessions(engine)() as session:
        yield session
    await engine.dispose()
