"""The log of relayed events: a partition a day, made ahead, dropped past the retention."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import LoggedEvent
from cartsnitch_common.events.event_log import LogKeeper, read_log
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.values.ids import new_uuid
from tests.integration.events.relaying import count, running, until_empty, write

DAY = dt.timedelta(days=1)
WEEK = dt.timedelta(days=7)
KEEP = text("SELECT event_log_keep(:retention)")


async def keep(engine: AsyncEngine, retention: dt.timedelta = WEEK) -> bool:
    async with engine.begin() as connection:
        return await connection.scalar(KEEP, {"retention": retention})


async def places(engine: AsyncEngine) -> dict[str, int]:
    """The partitions and how many rows they have."""
    names = "SELECT inhrelid::regclass::text FROM pg_inherits"
    names += " WHERE inhparent = 'event_log'::regclass ORDER BY 1"
    async with engine.connect() as connection:
        return {
            name: await connection.scalar(text(f"SELECT count(*) FROM {name}"))
            for name in (await connection.scalars(text(names))).all()
        }


async def log(sessions: Any, *ids: int, at: dt.datetime, event_type: str = "t") -> None:
    """Rows of the log, as a relay would have written them then."""
    async with sessions.begin() as session:
        for number in ids:
            row = {"event_id": new_uuid(), "event_type": event_type, "key": "k", "envelope": b"e"}
            session.add(LoggedEvent(id=number, relayed_at=at, created_at=at, **row))


def name_of(day: dt.datetime) -> str:
    return f"event_log_{day:%Y%m%d}"


@pytest.fixture
def today() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def test_partitions_are_made_ahead(engine: AsyncEngine, today: dt.datetime) -> None:
    """Three days ahead there is one a day, however many relays ask for them at once."""
    assert await places(engine) == {"event_log_first": 0, "event_log_default": 0}
    done = await asyncio.gather(*(keep(engine) for _ in range(8)))
    assert any(done)
    made = await places(engine)
    assert made.keys() == {
        "event_log_first",  # until midnight
        "event_log_default",
        *(name_of(today + number * DAY) for number in (1, 2, 3)),
    }
    assert await keep(engine)
    assert await places(engine) == made


async def test_each_row_has_a_place(engine: AsyncEngine, sessions: Any, today: dt.datetime) -> None:
    """A row lies in its day's partition; without one, in the default until there is one."""
    await log(sessions, 1, at=today)
    await log(sessions, 2, at=today + 2 * DAY)
    await log(sessions, 3, at=today + 30 * DAY)
    assert (await places(engine))["event_log_default"] == 2
    assert await keep(engine)
    found = await places(engine)
    assert (found["event_log_first"], found["event_log_default"]) == (1, 1)
    assert found[name_of(today + 2 * DAY)] == 1
    await log(sessions, 4, at=today + 3 * DAY - dt.timedelta(microseconds=1))
    await log(sessions, 5, at=today + 3 * DAY)
    found = await places(engine)
    assert (found[name_of(today + 2 * DAY)], found[name_of(today + 3 * DAY)]) == (2, 1)
    assert await count(sessions, LoggedEvent) == 5


async def test_what_is_past_the_retention_is_dropped(
    engine: AsyncEngine, sessions: Any, today: dt.datetime
) -> None:
    """Whole days go when the last event in them is too old, and rows without a partition."""
    await keep(engine)
    await log(sessions, 1, at=today)
    await log(sessions, 2, at=today + DAY)
    # As if two days had passed, and a bit.
    assert await keep(engine, -2 * DAY)
    found = await places(engine)
    assert found.keys().isdisjoint({"event_log_first", name_of(today + DAY)})
    assert name_of(today + 2 * DAY) in found
    await log(sessions, 3, at=today - 8 * DAY)
    await log(sessions, 4, at=today - 6 * DAY)
    assert (await places(engine))["event_log_default"] == 2
    assert await keep(engine)
    assert (await places(engine))["event_log_default"] == 1


async def test_nobody_waits_behind_a_long_reader(
    engine: AsyncEngine, sessions: Any, settings: Settings
) -> None:
    """While somebody reads the log for long, it is kept later, and events are relayed."""
    async with sessions() as reader:
        await reader.execute(text("SELECT count(*) FROM event_log"))
        start = time.monotonic()
        assert not await keep(engine)
        await write(sessions, "k")
        assert await Relay(settings).run_once() == 1
        assert time.monotonic() - start < 2
        assert len(await places(engine)) == 2
    assert await keep(engine)
    assert len(await places(engine)) == 5


async def test_a_relay_keeps_the_log(engine: AsyncEngine, settings: Settings) -> None:
    """Nobody has to think of it: a relay that runs makes the partitions."""
    async with running(Relay(settings)), asyncio.timeout(5):
        while len(await places(engine)) < 5:  # noqa: ASYNC110 - the database tells
            await asyncio.sleep(0.05)


async def test_a_log_that_cannot_be_kept_stops_no_relay(
    engine: AsyncEngine, sessions: Any, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the right to keep it a relay says so, once, and relays."""
    async with engine.begin() as connection:
        await connection.execute(text("DROP FUNCTION event_log_keep"))
    caplog.set_level(logging.WARNING)
    async with running(Relay(settings)):
        await write(sessions, "k")
        await until_empty(sessions)
    keeper = LogKeeper(WEEK)
    for _ in range(2):
        keeper._next = 0
        await keeper.keep(engine)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["the event log's partitions cannot be kept (SQLSTATE 42883)"] * 2
    assert await count(sessions, LoggedEvent) == 1


async def test_the_log_is_read_in_the_order_of_ids(
    engine: AsyncEngine, sessions: Any, today: dt.datetime
) -> None:
    """Page by page over partitions and channels, from a time or an id, each event once."""
    await keep(engine)
    await log(sessions, *range(1, 40, 2), at=today)
    await log(sessions, *range(2, 40, 2), at=today + DAY, event_type="u")  # ids between
    await log(sessions, 41, 40, at=today + 2 * DAY)
    await log(sessions, 42, at=today + 2 * DAY, event_type="other")

    async def pages(**since: Any) -> list[int]:
        found: list[int] = []
        async with sessions() as session:
            last = since.pop("since_id", 0)
            while rows := await read_log(
                session, event_types=["t", "u"], since_id=last, batch=7, **since
            ):
                found += (row.id for row in rows)
                last = rows[-1].id
        return found

    assert await pages() == list(range(1, 42))
    assert await pages(since_id=30) == list(range(31, 42))
    assert await pages(since_time=today + DAY) == [*range(2, 40, 2), 40, 41]
    assert await pages(since_time=today + DAY, since_id=20) == [*range(22, 40, 2), 40, 41]
    assert await pages(since_time=today + 3 * DAY) == []
    async with sessions() as session:
        (row,) = await read_log(session, event_types=["other"])
    assert (row.id, row.event_type, row.key, row.envelope) == (42, "other", "k", b"e")
    assert row.relayed_at == today + 2 * DAY
