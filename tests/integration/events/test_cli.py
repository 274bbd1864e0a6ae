from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from httpx import AsyncClient
from redis.asyncio import Redis
from sqlalchemy import func, select

from cartsnitch_common.config import Settings
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.events import from_json, publish
from cartsnitch_common.events.outbox import enqueue
from tests.event_payloads import coupons, prices


@asynccontextmanager
async def command(
    *arguments: str, database_url: str | None, redis_url: str | None
) -> AsyncIterator[Process]:
    given = {"CARTSNITCH_DATABASE_URL": database_url, "CARTSNITCH_REDIS_URL": redis_url}
    environment = {
        name: value for name, value in (dict(os.environ) | given).items() if value is not None
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cartsnitch_common.cli", "events", *arguments,
        stdout=PIPE, stderr=PIPE, env=environment,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.fixture
def urls(settings: Settings) -> dict[str, str]:
    return {
        "database_url": settings.require_database_url(),
        "redis_url": settings.require_redis_url(),
    }


async def line(stream: asyncio.StreamReader | None) -> str:
    assert stream is not None
    return (await asyncio.wait_for(stream.readline(), 30)).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_relay_runs_until_it_is_told_to_stop(
    urls: dict[str, str], sessions: Any, redis: Redis, number: signal.Signals
) -> None:
    """`cartsnitch events relay` relays, and ends with 0 soon after SIGTERM or SIGINT."""
    async with command("relay", **urls) as process:
        assert "relaying" in await line(process.stderr)
        async with sessions.begin() as session:
            await enqueue(session, prices(), service="receiptwitness", key="k")
        async with asyncio.timeout(10), sessions() as session:
            waiting = select(func.count()).select_from(OutboxEvent)
            while await session.scalar(waiting):  # noqa: ASYNC110 - the database tells
                await asyncio.sleep(0.02)
        process.send_signal(number)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert await redis.xlen("{cartsnitch.prices.updated}:stream") == 1


async def test_a_relay_serves_its_metrics(urls: dict[str, str], sessions: Any) -> None:
    """With a port `cartsnitch events relay` serves what it relayed, to this machine alone."""
    async with command("relay", "--metrics-port", "0", **urls) as process:
        address = (await line(process.stderr)).removeprefix("metrics on ").strip()
        assert address.startswith("http://127.0.0.1:")
        assert "relaying" in await line(process.stderr)
        async with sessions.begin() as session:
            await enqueue(session, prices(), service="receiptwitness", key="k")
        async with asyncio.timeout(10), AsyncClient() as http:
            relayed = "cartsnitch_events_relayed_total 1.0"
            while relayed not in (await http.get(address)).text:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.05)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_tail_prints_events_as_lines_of_json(urls: dict[str, str], redis: Redis) -> None:
    """`cartsnitch events tail` prints the JSON form, one event a line, of the asked channels."""
    arguments = ("--channel", "cartsnitch.prices.updated", "--count", "2")
    async with command("tail", *arguments, **urls) as process:
        assert "listening on 1 channels" in await line(process.stderr)
        await publish(redis, coupons(), service="clipartist", key="k")
        sent = [await publish(redis, prices(), service="stickershock", key="k") for _ in "12"]
        lines = [await line(process.stdout) for _ in sent]
        assert await asyncio.wait_for(process.wait(), 10) == 0
    assert [from_json(text) for text in lines] == sent
    assert json.loads(lines[0])["event_type"] == "cartsnitch.prices.updated"


async def test_tail_ends_when_it_is_told_to(urls: dict[str, str]) -> None:
    """Without a count it listens to every channel until a signal, and ends with 0."""
    async with command("tail", **urls) as process:
        assert "listening on 6 channels" in await line(process.stderr)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize(
    ("arguments", "changes", "said"),
    [
        ("relay --metrics-port 1 --metrics-host 192.0.2.1", {}, "error: --metrics-port: "),
        ("relay --metrics-port 1 --metrics-host 127..0.0.1", {}, "error: --metrics-port: "),
        ("relay", {"redis_url": None}, "error: CARTSNITCH_REDIS_URL: is not set"),
        ("relay", {"redis_url": "redis://:hunter2@127.0.0.1:1/0"}, "nobody listens there"),
        ("relay", {"database_url": None}, "error: CARTSNITCH_DATABASE_URL: is not set"),
        ("tail", {"redis_url": "redis://:hunter2@127.0.0.1:1/0"}, "nobody listens there"),
    ],
)
async def test_a_wrong_setting_is_one_line(
    urls: dict[str, str], arguments: str, changes: dict[str, str | None], said: str
) -> None:
    """A setting that is wrong ends the command with 3, one line and no secret."""
    async with command(*arguments.split(), **(urls | changes)) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 3
    text = errors.decode()
    assert said in text
    assert len(text.splitlines()) == 1
    assert "hunter2" not in text
