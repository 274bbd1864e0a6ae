from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import NullPool, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.convert import copy_messages, to_message
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.testing.plugin import _own_database
from tests.integration.convert.kept import begun
from tests.volume import Volume

SIZE = 10_000


class Filled:
    """A database whose tables are full, and the messages that they were filled with.

    Attributes:
        settings: Settings for it.
        messages: By model, in the order of their ids.
        rows: The values that the messages were made of.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.messages: dict[type, list[Any]] = {}
        self.rows: dict[type, list[dict[str, Any]]] = {}

    async def fill(self) -> None:
        """Copy the rows of every table, parents first."""
        engine = async_engine(self.settings, poolclass=NullPool)
        async with async_sessions(engine)() as session:
            for model, rows in Volume("filled").tables(SIZE):
                made = [to_message(model(**values)) for values in rows]
                # To bytes and back, as between services.
                sent = [type(one).FromString(one.SerializeToString()) for one in made]
                assert await copy_messages(session, sent) == len(rows)
                self.messages[model] = sorted(sent, key=lambda one: one.id)
                self.rows[model] = sorted(rows, key=lambda values: str(values["id"]))
            await session.commit()
        await engine.dispose()


@pytest.fixture(scope="session")
def filled(cartsnitch_servers: Any, cartsnitch_template: str) -> Any:
    """A database with 10,000 rows in every table that can have them. Nothing may be changed."""
    for url in _own_database(cartsnitch_servers.database_url, template=cartsnitch_template):
        found = Filled(Settings.load(database_url=url))
        asyncio.run(found.fill())
        yield found


@pytest.fixture
def directly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that went to the driver itself; SQLAlchemy prepares its own."""
    seen: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def noted(self: Any, query: str, *args: Any, **options: Any) -> Any:
        seen.append(query)
        return await fetch(self, query, *args, **options)

    monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
    return seen


@pytest.fixture
async def engine(filled: Filled) -> AsyncIterator[AsyncEngine]:
    made = async_engine(filled.settings, pool_size=2)
    yield made
    await made.dispose()


@pytest.fixture(params=["executed", "directly"])
async def either(
    request: pytest.FixtureRequest, engine: AsyncEngine, directly: list[str]
) -> AsyncIterator[AsyncEngine]:
    """An engine whose kept statements go either way; whoever listens chooses SQLAlchemy's."""
    if request.param == "executed":
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *_: None)
    yield engine
    assert bool(directly) is (request.param == "directly"), "the other way was taken"


@pytest.fixture
async def session(engine: AsyncEngine) -> AsyncIterator[AsyncSession]:
    """A session in a transaction that has begun, whose work is never kept."""
    async with begun(engine) as session:
        yield session
