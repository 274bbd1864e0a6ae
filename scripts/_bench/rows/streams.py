"""The memory that a long stream takes."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Final

from _bench.comparison import Figure
from _bench.databases import price_database
from _bench.rows.prices import MANY

if TYPE_CHECKING:
    from _bench.world import World

_ROWS: Final = 1_000_000


async def _megabytes(world: World) -> float:
    settings = await price_database(world, MANY)
    rows = world.size(_ROWS)
    # The address is a secret: it goes by the environment, as a service gets it.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "_bench.memory", str(rows)),
        env=os.environ | {"CARTSNITCH_DATABASE_URL": settings.require_database_url()},
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    if process.returncode:
        message = f"the stream's process ended with status {process.returncode}"
        raise RuntimeError(message)
    count, megabytes = output.split()
    if int(count) != rows:
        message = f"the stream brought {int(count)} messages, not {rows}"
        raise AssertionError(message)
    return float(megabytes)


ROWS = (
    Figure(
        name="memory of a stream of 1 million prices",
        unit="MB",
        goal=100,
        measure=_megabytes,
        note="the peak of a process of its own, over what it has before it connects",
    ),
)
