from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, sync_engine
from tests.integration.engine.either import AnyEngine


@pytest.fixture
def own(database: str) -> Settings:
    return Settings.load(
        database_url=database, service="api", database_statement_timeout=2, database_pool_size=2
    )


@pytest.fixture(params=["async", "sync"])
async def engine(request: pytest.FixtureRequest, own: Settings) -> AsyncIterator[AnyEngine]:
    """Both engines, one after the other, on one database."""
    if request.param == "sync":
        made = sync_engine(own)
        yield made
        made.dispose()
    else:
        made = async_engine(own)
        yield made
        await made.dispose()
