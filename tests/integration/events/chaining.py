from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
from redis.asyncio import Redis
from sqlalchemy import text

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.db.beginning import BEGIN_NEXT
from cartsnitch_common.events import Consumer, ConsumerOptions, Event
from cartsnitch_common.events.asyncpg_inbox import AsyncpgInbox
from tests.integration.events.consuming import FAST, GROUP, add

type Connection = asyncpg.Connection[Any]

_IDLE = """SELECT count(*) FROM pg_stat_activity
           WHERE state LIKE 'idle in transaction%' AND datname = current_database()
           AND pid <> :but"""
_MARKED = "SELECT event_id FROM event_inbox WHERE consumer = :consumer"


class Seen:
    """The queries of connections, as asyncpg tells of them."""

    def __init__(self) -> None:
        self.queries: list[str] = []
        self._watched: set[Connection] = set()

    def watch(self, connection: Connection) -> None:
        """Note its queries from now on."""
        if connection not in self._watched:
            self._watched.add(connection)
            connection.add_query_logger(self._note)

    async def write(self, event: Event[PricesUpdated], connection: Connection) -> None:
        """A handler that is watched."""
        self.watch(connection)
        await write(event, connection)

    @property
    def chained(self) -> int:
        """How many commits have begun the next event."""
        return sum(query.startswith(BEGIN_NEXT) for query in self.queries)

    async def _note(self, record: Any) -> None:
        self.queries.append(record.query)


async def write(event: Event[PricesUpdated], connection: Connection) -> None:
    statement = "INSERT INTO effects (key, event_id) VALUES ($1, $2)"
    await connection.execute(statement, event.key, event.event_id)


def new_consumer(
    redis: Redis, inbox: AsyncpgInbox, handler: Any = write, **parts: Any
) -> Consumer[Any]:
    options = parts.pop("options", {})
    consumer = Consumer[Any](
        redis, inbox, group=GROUP, options=ConsumerOptions(**FAST, **options), **parts
    )
    consumer.on(PricesUpdated)(handler)
    return consumer


async def add_keys(redis: Redis, count: int) -> list[str]:
    """Events of a key each, so that all are ready at once."""
    return [await add(redis, f"k{number}") for number in range(count)]


async def none_idle(sessions: Any, but: int = 0) -> None:
    """No transaction is open that nobody works on; a dropped connection ends a little later."""
    async with asyncio.timeout(3), sessions() as session:
        while await session.scalar(text(_IDLE), {"but": but}):
            await session.rollback()
            await asyncio.sleep(0.02)


async def marks(sessions: Any, consumer: str = GROUP) -> set[str]:
    async with sessions() as session:
        return {
            str(found) for found in await session.scalars(text(_MARKED), {"consumer": consumer})
        }
