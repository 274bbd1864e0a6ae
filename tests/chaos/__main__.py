"""``scripts/chaos``: play the faults, print the table, keep it."""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis
from rich.console import Console
from rich.table import Table

from tests.chaos.faults import FAULTS
from tests.chaos.play import Fault, Result, play
from tests.chaos.stage import World
from tests.chaos.table import COLUMNS, cells, page, total


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; see ``scripts/chaos``."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the long set; an hour or more")
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
    console = Console()
    if options.list:
        for fault, count in chosen:
            console.print(f"{count:>6,}  {fault.name}", highlight=False)
        return 0
    results, servers = asyncio.run(_play_all(chosen))
    _print(console, results)
    if options.write:
        option = " --long" if options.long else ""
        options.write.write_text(page(results, option=option, servers=servers))
    return 1 if any(result.failures for result in results) else 0


async def _play_all(chosen: Sequence[tuple[Fault, int]]) -> tuple[list[Result], dict[str, str]]:
    results = []
    async with World() as world:
        servers = await asyncio.to_thread(_versions, world)
        for fault, count in chosen:
            result = await play(world, fault, count)
            results.append(result)
            said = "; ".join([*result.failures, *result.score.notes]) or "good"
            sys.stderr.write(f"{fault.name}: {said} ({result.seconds:.0f} s)\n")
    return results, servers


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
