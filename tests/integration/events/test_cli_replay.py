from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.events import Consumer, ConsumerOptions
from cartsnitch_common.events.inbox import SqlInbox, handle_once
from cartsnitch_common.events.relay import Relay
from tests.integration.events.consuming import (
    FAST,
    GROUP,
    STREAM,
    effects_of,
    new_consumer,
    running,
    until,
)
from tests.integration.events.relaying import write
from tests.integration.events.test_cli import command

TYPE = "cartsnitch.prices.updated"


async def replay(settings: Settings, *arguments: str, code: int = 0) -> str:
    urls = {
        "database_url": settings.require_database_url(),
        "redis_url": settings.require_redis_url(),
    }
    async with command("replay", *arguments, **urls) as process:
        out, errors = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == code, errors
    return (errors if code else out).decode()


async def unsettled(redis: Redis) -> int:
    groups = await redis.xinfo_groups(STREAM)
    return sum(facts["lag"] + facts["pending"] for facts in groups)


async def test_a_group_gets_what_it_missed_and_nobody_else_does(
    settings: Settings, effects: Any, redis: Redis
) -> None:
    """After Redis has lost its streams, the log brings one group what its inbox does not know."""
    event_ids = await write(effects, "a", "b", "a", "c")
    await Relay(settings).run_once()
    async with effects.begin() as session:
        await handle_once(session, GROUP, uuid.UUID(event_ids[1]))
    await redis.delete(STREAM)
    arguments = (GROUP, "--channel", TYPE, "--json")
    told = json.loads(await replay(settings, *arguments, "--dry-run"))
    assert told["channels"] == {TYPE: {"read": 4, "missed": 3}}
    assert await redis.xlen(STREAM) == 0
    told = json.loads(await replay(settings, *arguments))
    assert told["channels"] == {TYPE: {"read": 4, "missed": 3}}
    assert await redis.xlen(STREAM) == 3

    async def refuse(*_: Any) -> None:
        raise AssertionError

    other = Consumer(redis, SqlInbox(effects), group="api", options=ConsumerOptions(**FAST))
    other.on(PricesUpdated)(refuse)
    consumer = new_consumer(redis, effects)
    async with running(consumer), running(other):
        await until(lambda: consumer.stats.handled == 3)
        async with asyncio.timeout(10):
            while await unsettled(redis):  # noqa: ASYNC110 - the server tells
                await asyncio.sleep(0.02)
    assert sorted(await effects_of(effects)) == sorted([event_ids[0], *event_ids[2:]])
    assert other.stats.handled == other.stats.dead == other.stats.retries == 0
    again = json.loads(await replay(settings, *arguments, "--from-id", "0"))
    assert again["channels"] == {TYPE: {"read": 4, "missed": 0}}
    behind = json.loads(await replay(settings, *arguments, "--from-id", str(again["last_id"])))
    assert behind["channels"] == {TYPE: {"read": 0, "missed": 0}}
    assert behind["last_id"] == again["last_id"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stickershok", "--dry-run"], "error: GROUP: has never handled an event"),
        (["stickershock", "--since", "2026-03-10T12:00"], "error: --since: must say its zone"),
        (["stickershock", "--since", "noon"], "error: --since: must be a time"),
    ],
)
async def test_a_replay_that_cannot_be_meant_is_bad_input(
    settings: Settings, arguments: list[str], said: str
) -> None:
    """A misspelt group would get everything, a time without a zone the wrong part: code 2."""
    assert said in await replay(settings, *arguments, code=2)
