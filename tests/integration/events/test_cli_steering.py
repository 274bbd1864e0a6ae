from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import func, select

from cartsnitch_common.config import Settings
from cartsnitch_common.contract import to_json
from cartsnitch_common.db.models import OutboxEvent
from cartsnitch_common.events import decode
from cartsnitch_common.events.outbox import enqueue
from cartsnitch_common.events.relay import Relay
from tests.event_payloads import prices, receipts
from tests.integration.events.consuming import GROUP, STREAM, add
from tests.integration.events.steering import Command, bury

TYPE = "cartsnitch.prices.updated"


async def test_lag_says_what_waits_where_and_for_how_long(
    command: Command, sessions: Any, redis: Redis
) -> None:
    """Outbox, streams, groups and dead letters; --max-seconds turns an age into exit code 4."""
    idle = json.loads(await command("lag", "--json", "--max-seconds", "0"))
    assert idle["outbox"] == {"waiting": 0, "seconds": 0.0}
    assert idle["groups"] == []
    async with sessions.begin() as session:
        await enqueue(session, prices(), service="stickershock", key="k")
    await bury(sessions)
    for key in "abc":
        await add(redis, key)
    await redis.xgroup_create(STREAM, GROUP, id=0)
    await redis.xreadgroup(GROUP, "1", {STREAM: ">"}, count=1)
    await redis.xgroup_create(STREAM, "clipartist", id="$")
    await asyncio.sleep(0.15)
    found = json.loads(await command("lag", "--json"))
    assert found["outbox"]["waiting"] == 1
    assert found["outbox"]["seconds"] > 0.1
    assert found["dead_letters"] == {GROUP: 1}
    assert found["streams"][TYPE] == 3
    groups = {group.pop("group"): group for group in found["groups"]}
    ages = [groups[GROUP].pop(name) for name in ("seconds", "idle_seconds")]
    assert all(0.1 < age < 60 for age in ages)
    assert groups[GROUP] == {"event_type": TYPE, "unread": 2, "pending": 1}
    assert groups["clipartist"] == {
        "event_type": TYPE, "unread": 0, "pending": 0, "seconds": 0, "idle_seconds": 0,
    }  # fmt: skip
    table = await command("lag", "--max-seconds", "0.1", code=4)
    assert "1 events wait" in table
    await command("lag", "--max-seconds", "3600")


async def test_lag_without_a_database_looks_at_redis_alone(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has a login for Redis only sees streams and groups."""
    monkeypatch.delenv("CARTSNITCH_DATABASE_URL")
    found = json.loads(await command("lag", "--json"))
    assert found["outbox"] is found["dead_letters"] is None
    assert len(found["streams"]) == 6


async def test_an_event_by_hand_goes_through_the_outbox(
    command: Command, sessions: Any, tmp_path: Path
) -> None:
    """The payload's JSON form becomes an event of the outbox, as a service's own would."""
    file = tmp_path / "prices.json"
    file.write_text(to_json(prices()))
    arguments = (TYPE, file, "--key", "store-1", "--service", "stickershock", "--json")
    told = json.loads(await command("publish", *arguments))
    async with sessions() as session:
        row = (await session.scalars(select(OutboxEvent))).one()
    assert str(row.event_id) == told["event_id"]
    assert decode(row.envelope).prices_updated == prices()
    assert row.key == "store-1"


async def test_an_event_by_hand_needs_no_database_when_it_goes_directly(
    command: Command, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--direct publishes to who listens, with the payload from standard input."""
    monkeypatch.delenv("CARTSNITCH_DATABASE_URL")
    monkeypatch.setenv("CARTSNITCH_SERVICE", "stickershock")
    payload = io.TextIOWrapper(io.BytesIO(to_json(prices()).encode()))
    monkeypatch.setattr("sys.stdin", payload)
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe(TYPE)
        told = await command("publish", TYPE, "--key", "k", "--direct")
        async with asyncio.timeout(10):
            while (message := await pubsub.get_message(timeout=1))["type"] != "message":
                pass
    assert decode(message["data"]).event_id in told
    assert await redis.xlen(STREAM) == 0


@pytest.mark.parametrize(
    ("content", "service", "code", "said"),
    [
        (b"{", "stickershock", 2, "is not JSON"),
        (b'{"storeId": 5}', "stickershock", 2, "storeId: "),
        (b'{"storeId": "Jane"}', "stickershock", 2, "store_id: "),
        (b"", "stickershock", 2, "is not JSON"),
        (b" " * (256 * 1024 + 1), "stickershock", 1, "at most 262144"),
        (None, "stickershock", 2, "FILE: cannot be read"),
        (to_json(prices()).encode(), "clipartist", 1, "may not publish"),
        (to_json(prices()).encode(), "nobody", 1, "may not publish"),
        (to_json(prices()).encode(), None, 3, "CARTSNITCH_SERVICE: is not set"),
    ],
)
async def test_an_event_that_breaks_the_contract_is_not_published(
    command: Command, sessions: Any, tmp_path: Path, content: bytes | None, service: str | None,
    code: int, said: str,
) -> None:  # fmt: skip
    """The field is named, its value is not, and nothing is written."""
    file = tmp_path / "payload.json"
    if content is not None:
        file.write_bytes(content)
    arguments = [TYPE, file, "--key", "k"] + (["--service", service] if service else [])
    told = await command("publish", *arguments, code=code)
    assert said in told
    assert "Jane" not in told
    async with sessions() as session:
        assert await session.scalar(select(func.count()).select_from(OutboxEvent)) == 0


async def test_every_broken_rule_of_a_payload_is_told(command: Command, tmp_path: Path) -> None:
    """All the fields at once, one a line, and not one after the other."""
    file = tmp_path / "payload.json"
    file.write_text('{"storeId": "x", "observations": [{}]}')
    told = await command("publish", TYPE, file, "--key", "k", "--service", "stickershock", code=2)
    lines = told.splitlines()
    assert len(lines) > 3
    assert any(line.startswith("error: ") for line in lines)
    assert any("observations[0].id" in line for line in lines)


async def test_the_log_is_printed_as_the_channels_were(
    command: Command, settings: Settings, sessions: Any
) -> None:
    """`tail --from-log` prints relayed events in order, filtered as the live ones are."""
    async with sessions.begin() as session:
        for number in range(4):
            await enqueue(
                session, prices(units=number + 1), service="stickershock", key=f"k{number % 2}"
            )
        await enqueue(session, receipts(), service="receiptwitness", key="k1")
    await Relay(settings).run_once()
    lines = (await command("tail", "--from-log", "--channel", TYPE)).splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["key"] for event in events] == ["k0", "k1", "k0", "k1"]
    of_key = await command("tail", "--from-log", "--key", "k1", "--count", "2")
    assert [json.loads(line)["key"] for line in of_key.splitlines()] == ["k1", "k1"]
    where = ("--where", "payload.observations.regular_price.units=3")
    (line,) = (await command("tail", "--from-log", *where)).splitlines()
    assert json.loads(line) == events[2]
    assert "--where" in await command("tail", "--from-log", "--where", "payload.pries=3", code=2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["dead-letters", "list"],
        ["dead-letters", "redrive", "--all"],
        ["lag"],
        ["publish", TYPE, "FILE", "--key", "k", "--service", "stickershock"],
        ["publish", TYPE, "FILE", "--key", "k", "--service", "stickershock", "--direct"],
        ["tail", "--from-log"],
    ],
)
async def test_a_server_that_is_away_is_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str]
) -> None:
    """Without its servers a command ends with 3, the setting's name and no secret."""
    file = tmp_path / "payload.json"
    file.write_text(to_json(prices()))
    monkeypatch.setenv("CARTSNITCH_DATABASE_URL", "postgresql://u:hunter2@127.0.0.1:1/db")
    monkeypatch.setenv("CARTSNITCH_REDIS_URL", "redis://:hunter2@127.0.0.1:1/0")
    given = [str(file) if argument == "FILE" else argument for argument in arguments]
    told = await command(*given, code=3)
    assert len(told.splitlines()) == 1
    assert "_URL: " in told
    assert "refused" in told
    assert "hunter2" not in told
