from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.chaos.faults import FAULTS
from tests.chaos.play import Fault, play
from tests.chaos.stage import World

pytestmark = [
    pytest.mark.kill,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("chaos"),  # its servers and its load are on one worker
]

ALLOWANCE = 20.0
"""Unit: seconds beside the limits of recovery: the other worker's tests have the processors too,
and twelve processes share what is left. ``scripts/chaos`` holds the limits themselves."""

SHORT = [fault for fault in FAULTS if fault.short]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world() -> AsyncIterator[World]:
    async with World() as world:
        yield world


@pytest.mark.parametrize("fault", SHORT, ids=lambda fault: fault.name)
async def test_nothing_is_lost_doubled_or_inverted(world: World, fault: Fault) -> None:
    """I1 to I7 hold under this fault, each time it bit, and the work went on in time."""
    result = await play(world, fault, fault.short, allowance=ALLOWANCE)
    assert result.failures == []
    assert result.score.injected >= fault.short


async def test_the_short_set_is_as_large_as_promised() -> None:
    """The test command injects 150 faults or more, under 30,000 events or more."""
    assert sum(fault.short for fault in SHORT) >= 150
    assert sum(fault.least for fault in SHORT) >= 30_000
