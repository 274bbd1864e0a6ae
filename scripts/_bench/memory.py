"""Streams prices as messages and prints the memory that it took. A program of its own."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import select

from _bench.databases import open_session
from cartsnitch_common.config import Settings
from cartsnitch_common.convert import stream_messages
from cartsnitch_common.db.models import PriceHistory

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession


async def main(rows: int) -> None:
    """Print how many messages came, and the peak over the idle process in MB; on Linux.

    Idle means: everything is imported, nothing is connected.
    """
    idle = _resident()
    async with open_session(Settings.load(database_statement_timeout=3600)) as session:
        count = await _stream(session, rows)
    print(count, (_peak() - idle) / 1e6)


def _resident() -> int:
    """The bytes of memory that the process has now."""
    pages = Path("/proc/self/statm").read_text("ascii").split()[1]
    return int(pages) * resource.getpagesize()


def _peak() -> int:
    """The most bytes of memory that this program had; ``ru_maxrss`` is its parent's too."""
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


async def _stream(session: AsyncSession, rows: int) -> int:
    count = 0
    async for _ in stream_messages(session, select(PriceHistory).limit(rows)):
        count += 1
    return count


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
