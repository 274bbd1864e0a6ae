from __future__ import annotations

import asyncio
import logging
import time

import pytest

from cartsnitch_common.events import backoff
from cartsnitch_common.events.backoff import Backoff, Outage, rest, spread


async def test_waiting_ends_when_the_work_shall_stop() -> None:
    """A stop does not wait for a back-off."""
    stop = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, stop.set)
    start = time.monotonic()
    await rest(stop, 30)
    assert time.monotonic() - start < 5


async def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits are 0.1, 0.2, 0.4 ... seconds less up to a half, none above the longest."""
    waits = []

    async def remember(_stop: asyncio.Event, seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(backoff, "rest", remember)
    pause = Backoff(first=0.1, longest=1.0)
    for _ in range(200):
        await pause.rest(asyncio.Event())
    for wait, whole in zip(waits, (0.1, 0.2, 0.4, 0.8, 1.0, 1.0), strict=False):
        assert whole / 2 <= wait <= whole
    assert max(waits) <= 1.0
    pause.reset()
    await pause.rest(asyncio.Event())
    assert waits[-1] <= 0.1


def test_nobody_keeps_step() -> None:
    """Two processes that began together do not try together for ever."""
    assert len({spread(1.0) for _ in range(10)}) > 1


async def test_an_outage_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins, one for each further reason, one when it is over."""
    caplog.set_level(logging.INFO)
    stop = asyncio.Event()
    stop.set()
    outage = Outage(logging.getLogger("x"), "the relay", "Redis")
    outage.over()
    for reason in ("a", "a", "b", "a", "b"):
        await outage.pause(stop, reason)
    outage.over()
    outage.over()
    assert [record.getMessage() for record in caplog.records] == [
        "the relay waits for Redis: a",
        "the relay waits for Redis: b",
        "the relay works with Redis again",
    ]
