from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from cartsnitch_common.events import decode, encode, wrap
from tests.event_payloads import prices
from tests.integration.events.consuming import GROUP, STREAM
from tests.integration.events.steering import Command, bury


async def test_dead_letters_are_listed_shown_redriven_and_dropped(
    command: Command, sessions: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way of an operator: what there is, what it holds, once more, or away."""
    first = await bury(sessions)
    broken = await bury(sessions, consumer="clipartist", data=b"\xff no envelope")
    listed = json.loads(await command("dead-letters", "list", "--json"))
    assert listed["total"] == 2
    assert [row["id"] for row in listed["dead_letters"]] == [str(first), str(broken)]
    assert [row["key"] for row in listed["dead_letters"]] == ["k", None]
    table = await command("dead-letters", "list", "--consumer", "clipartist")
    assert "1 of 1 dead letters" in table
    assert str(broken) in table
    of_channel = ("dead-letters", "list", "--channel", "cartsnitch.coupons.updated", "--json")
    assert json.loads(await command(*of_channel))["total"] == 0

    shown = json.loads(await command("dead-letters", "show", first, "--json"))
    assert shown["event"]["prices_updated"]["observations"][0]["observed_date"]["year"] == 2026
    assert shown["reason"] == "ValueError"
    assert "no envelope that this version reads" in await command("dead-letters", "show", broken)

    told = await command("dead-letters", "redrive", first, uuid.uuid4(), code=1)
    assert "1 dead letters redriven, 1 refused" in told
    assert "names no dead letter" in told
    ((_, fields),) = await redis.xrange(STREAM)
    assert decode(fields[b"e"]).event_id == shown["event_id"]

    monkeypatch.setattr("sys.stdin", io.StringIO())  # there is nobody to answer
    said = await command("dead-letters", "drop", "--all", code=1)
    assert "drop 1 dead letters for good?" in said
    assert json.loads(await command("dead-letters", "drop", "--all", "--yes", "--json")) == {
        "dropped": 1
    }
    assert json.loads(await command("dead-letters", "list", "--json"))["total"] == 0


async def test_a_key_that_steers_a_terminal_is_shown_as_text(
    command: Command, sessions: Any
) -> None:
    """What a publisher wrote into a key is seen by an operator, and done by no terminal."""
    envelope = wrap(prices(), service="stickershock", key="\x1b]0;title\x07k")
    letter = await bury(sessions, data=encode(envelope))
    shown = await command("dead-letters", "show", letter)
    assert "key: ?]0;title?k" in shown
    assert "\x1b" not in shown


async def test_all_dead_letters_of_a_consumer_are_redriven_at_once(
    command: Command, sessions: Any, redis: Redis
) -> None:
    """--all with a consumer takes its letters, each in a transaction of its own, and no others."""
    for _ in range(3):
        await bury(sessions)
    await bury(sessions, consumer="clipartist")
    arguments = ("dead-letters", "redrive", "--all", "--consumer", GROUP, "--json")
    assert json.loads(await command(*arguments)) == {"redriven": 3, "refused": {}}
    assert await redis.xlen(STREAM) == 3
    assert json.loads(await command("dead-letters", "list", "--json"))["total"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["redrive"], "--all"),
        (["drop", "--all", str(uuid.uuid4())], "--all"),
        (["drop", str(uuid.uuid4()), "--consumer", "x"], "--consumer"),
        (["show", "not-an-id"], "Invalid value for 'ID'"),
        (["show", str(uuid.UUID(int=0))], "names no dead letter"),
    ],
)
async def test_a_wrong_choice_of_letters_is_bad_input(
    command: Command, arguments: list[str], said: str
) -> None:
    """Neither everything by accident nor half of a choice: exit code 2."""
    assert said in await command("dead-letters", *arguments, code=2)


async def test_a_dead_letters_text_cannot_draw_on_the_terminal(
    command: Command, sessions: Any
) -> None:
    """What somebody sent is printed as text, whatever it holds."""
    await bury(sessions)
    async with sessions.begin() as session:
        change = text("UPDATE event_dead_letters SET reason = :reason")
        await session.execute(change, {"reason": "\x1b[31m[bold]x[/bold]"})
    table = await command("dead-letters", "list")
    assert "\x1b" not in table
    assert "?[31m[bold]x[/bold]" in table
