"""The limits of time of exchanges."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from cartsnitch_common.events.limits import Limits, limits_of

SHORT, LONG = 0.05, 60.0


class _Transport:
    """What a limit ends."""

    def __init__(self) -> None:
        self.aborted: list[float] = []

    def abort(self) -> None:
        self.aborted.append(time.monotonic())


async def test_an_exchange_is_ended_at_its_limit_and_not_before() -> None:
    """Also one that began when another with a later limit was under way, and the one after it."""
    limits = Limits(asyncio.get_running_loop())
    patient, hasty, next_one = _transports(3)
    start = time.monotonic()
    limits.begin(patient, LONG)
    limits.begin(hasty, SHORT)
    limits.begin(next_one, 3 * SHORT)
    await asyncio.sleep(5 * SHORT)
    assert hasty.aborted[0] >= start + SHORT
    assert next_one.aborted[0] >= start + 3 * SHORT
    assert limits.end(hasty)
    assert limits.end(next_one)
    assert not patient.aborted
    assert not limits.end(patient)


async def test_what_has_ended_is_left_alone() -> None:
    """The connection is used again, and its next exchange has a limit of its own."""
    limits = Limits(asyncio.get_running_loop())
    (transport,) = _transports(1)
    limits.begin(transport, SHORT)
    assert not limits.end(transport)
    limits.begin(transport, LONG)
    await asyncio.sleep(2 * SHORT)
    assert not transport.aborted
    assert not limits.end(transport)


async def test_without_a_limit_nothing_is_ended() -> None:
    """None is no limit."""
    limits = Limits(asyncio.get_running_loop())
    (transport,) = _transports(1)
    limits.begin(transport, None)
    await asyncio.sleep(SHORT)
    assert not transport.aborted
    assert not limits.end(transport)


async def test_many_exchanges_have_one_timer() -> None:
    """Which is what it is for: a timer each costs more than the rest of it."""
    loop: Any = asyncio.get_running_loop()
    limits = limits_of(loop)
    assert limits is limits_of(loop)
    before = len(loop._scheduled)
    (transport,) = _transports(1)
    for _ in range(1000):
        limits.begin(transport, LONG)
        limits.end(transport)
    assert len(loop._scheduled) <= before + 1


def _transports(count: int) -> list[Any]:
    return [_Transport() for _ in range(count)]
