from __future__ import annotations

import asyncio
import random

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from cartsnitch_common.config import Settings
from cartsnitch_common.db.database import Database
from cartsnitch_common.db.models import User
from cartsnitch_common.errors import ConstraintViolationError
from tests.integration.engine.either import states, until

CANCELS = 200
CLEAN = """SELECT current_setting('statement_timeout'), current_setting('TimeZone'),
                  current_setting('transaction_read_only'), count(*)
             FROM pg_locks WHERE locktype = 'advisory' GROUP BY ()"""


async def work(sessions: async_sessionmaker[AsyncSession], number: int) -> None:
    """Two rows that belong together, with a refused one, a savepoint and a lock between them."""
    async with sessions.begin() as session:
        session.add(User(id=f"{number}-a", email=f"{number}-a@example.com"))
        await session.flush()
        await session.execute(text("SELECT pg_advisory_xact_lock(1)"))
        try:
            async with session.begin_nested():
                session.add(User(id=f"{number}-b", email=f"{number}-a@example.com"))
        except ConstraintViolationError:
            await session.execute(text("SELECT pg_sleep(0.002)"))
        session.add(User(id=f"{number}-c", email=f"{number}-c@example.com"))


async def test_a_cancelled_task_leaves_a_clean_connection(own: Settings, database: str) -> None:
    """200 tasks, cancelled at any await: whole transactions or nothing, and a pool as new."""
    chance = random.Random(4)  # noqa: S311 - the same moments in each run
    cancelled = 0
    async with Database(own) as db:
        for first in range(0, CANCELS, 4):
            tasks = [asyncio.create_task(work(db.sessions, first + i)) for i in range(4)]
            for task in tasks:
                await asyncio.sleep(chance.uniform(0, 0.015))
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            wrong = [each for each in ended if isinstance(each, Exception)]
            assert not wrong
            cancelled += sum(isinstance(each, asyncio.CancelledError) for each in ended)
            # A session that is cancelled in its end is ended in a task of its own.
            await until(lambda: db.async_engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
        assert cancelled > CANCELS / 4, "the faults did not bite"
        for _ in range(4):
            async with db.sessions() as session:
                assert (await session.execute(text(CLEAN))).one() == ("2s", "UTC", "off", 0)
        await until(lambda: set(states(database)) <= {"idle"}, within=3)
        assert len(states(database)) <= 4, "connections were left behind"
    with psycopg.connect(database) as connection:
        halves = connection.execute(
            "SELECT split_part(id, '-', 1) FROM users GROUP BY 1 HAVING count(*) <> 2"
        )
        assert halves.fetchall() == []
