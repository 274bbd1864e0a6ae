"""``scripts/chaos``: play the faults, print the table, keep it."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import psycopg
import redis
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import FAULTS
from tests.chaos.oracle import Books, judge
from tests.chaos.play import Fault, Result, Score, play
from tests.chaos.stage import World
from tests.chaos.table import COLUMNS, cells, page, total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; see ``scripts/chaos``."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long set; most of an hour")
    parser.add_argument("--minutes", metavar="N", type=float, help="inject for about so long")
    parser.add_argument("--only", metavar="PATTERN", default="", help="names that match")
    parser.add_argument("--list", action="store_true", help="print the faults, inject none")
    parser.add_argument("--write", metavar="FILE", type=Path, help="also write the table to a page")
    options = parser.parse_args(arguments)
    try:
        pattern = re.compile(options.only, re.IGNORECASE)
    except re.error as error:
        parser.error(f"--only: {error}")
    chosen = [
        (fault, fault.long if options.long else fault.short)
        for fault in FAULTS
        if pattern.search(fault.name)
    ]
    chosen = [(fault, count) for fault, count in chosen if count]
    if not chosen:
        parser.error("--only matches no fault")
    console = Console(width=None if sys.stdout.isatty() else 200)
    if options.list:
        for fault, count in chosen:
            console.print(f"{count:>6,}  {fault.name}", highlight=False)
        return 0
    results, servers = asyncio.run(_play_all(chosen, minutes=options.minutes))
    _print(console, results)
    if options.write:
        option = " --long" if options.long else ""
        option += f" --minutes {options.minutes:g}" if options.minutes else ""
        options.write.write_text(page(results, option=option, servers=servers))
    return 1 if any(result.failures for result in results) else 0


async def _play_all(
    chosen: Sequence[tuple[Fault, int]], *, minutes: float | None
) -> tuple[list[Result], dict[str, str]]:
    """Play all of them, also after one was broken off: the next one gets servers of its own."""
    results, servers = list[Result](), {"postgres": "-", "valkey": "-"}
    end = None if minutes is None else time.monotonic() + 60 * minutes
    left = sum(fault.minutes for fault, _ in chosen)
    async with AsyncExitStack() as stack:
        world: World | None = None
        for fault, count in chosen:
            start = time.monotonic()
            # Who takes less than the share leaves the rest to those that follow.
            seconds = None if end is None else max(0.0, end - start) * fault.minutes / left
            left -= fault.minutes
            try:
                if world is None:
                    world = await stack.enter_async_context(World())
                    servers = await asyncio.to_thread(_versions, world)
                result = await play(world, fault, count, seconds=seconds)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other faults count
                result = _broken_off(fault, error, time.monotonic() - start)
                with suppress(Exception):  # what is broken may not even close
                    await stack.aclose()
                world = None
            results.append(result)
            said = "; ".join([*result.failures, *result.score.notes]) or "good"
            sys.stderr.write(
                f"{' | '.join(cells(result))}\n  {said} ({result.seconds:.0f} s)\n",
            )
    return results, servers


def _broken_off(fault: Fault, error: Exception, seconds: float) -> Result:
    """A result that proves nothing, with what there is to say of the error."""
    notes = "\n".join(getattr(error, "__notes__", []))
    sys.stderr.write(f"{notes}\n")
    return Result(
        fault=fault,
        score=Score(),
        verdict=judge(Books()),
        duplicates=0,
        seconds=seconds,
        broken_off=f"{type(error).__name__}: {error}".splitlines()[0],
    )


def _versions(world: World) -> dict[str, str]:
    with psycopg.connect(world.servers.database_url) as connection:
        number = connection.info.server_version
    with redis.Redis.from_url(world.servers.redis_url) as client:
        info = client.info("server")
    valkey = str(info.get("valkey_version", info["redis_version"]))
    return {"postgres": f"{number // 10_000}.{number % 10_000}", "valkey": valkey}


def _print(console: Console, results: Sequence[Result]) -> None:
    table = Table(title="scripts/chaos")
    for number, name in enumerate(COLUMNS):
        table.add_column(name, justify="right" if number else "left")
    for result in results:
        table.add_row(*cells(result))
    table.add_section()
    table.add_row(*total(results))
    console.print(table)
    for result in results:
        for failure in result.failures:
            console.print(f"[red]{result.fault.name}: {failure}", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
