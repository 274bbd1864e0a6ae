"""``scripts/bench``: choose comparisons, measure them, print and keep the table."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import pkgutil
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from _bench import events, rows
from _bench.comparison import Comparison
from _bench.measure import measure
from _bench.report import as_json, as_page, print_table
from _bench.scale import run as scale
from _bench.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _bench.comparison import Result
    from _bench.measure import Row

_SUITES = {"rows": rows, "events": events}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the arguments name; see ``scripts/bench``."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("suite", choices=[*_SUITES, "scale"], help="what to measure")
    parser.add_argument("--only", metavar="PATTERN", default="", help="names that match")
    parser.add_argument(
        "--list", action="store_true", help="print names and goals, measure nothing"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small data sets, one round, no verdict"
    )
    parser.add_argument("--json", action="store_true", help="print the results for a machine")
    parser.add_argument("--write", metavar="FILE", type=Path, help="also write the table to a page")
    options = parser.parse_args(arguments)
    if options.suite == "scale":
        asyncio.run(_scale(quick=options.quick))
        return 0
    try:
        pattern = re.compile(options.only, re.IGNORECASE)
    except re.error as error:
        parser.error(f"--only: {error}")
    chosen = [row for row in _declared(options.suite) if pattern.search(row.name)]
    if not chosen:
        parser.error("--only matches no name")
    if options.list:
        for row in chosen:
            print(f"{row.name}: {'no goal' if row.goal is None else f'{row.goal:g}'}")
        return 0
    results = asyncio.run(_measured(chosen, quick=options.quick))
    if options.json:
        print(as_json(results))
    else:
        print_table(results, title=f"scripts/bench {options.suite}")
    if options.write:
        options.write.write_text(as_page(results, suite=options.suite))
    missed = any(result.passed is False for result in results)
    return 1 if missed and not options.quick else 0


def _declared(suite: str) -> list[Row]:
    package = _SUITES[suite]
    last = getattr(package, "LAST", ())
    found = [module.name for module in pkgutil.iter_modules(package.__path__)]
    names = sorted(found, key=lambda name: (name in last, name))
    modules = [importlib.import_module(f"{package.__name__}.{name}") for name in names]
    return [row for module in modules for row in getattr(module, "ROWS", ())]


async def _scale(*, quick: bool) -> None:
    async with World(quick=quick) as world:
        await scale.run(world)


async def _measured(chosen: list[Row], *, quick: bool) -> list[Result]:
    console = Console(stderr=True)
    results = []
    async with World(quick=quick) as world:
        for declared in chosen:
            row = replace(declared, rounds=1) if quick else declared
            against = f" against {row.rival}" if isinstance(row, Comparison) else ""
            with console.status(f"{row.name}{against}"):
                results.append(await measure(row, world))
            console.print(f"{row.name}{against}: {results[-1].measured}", highlight=False)
    return results


if __name__ == "__main__":
    sys.exit(main())
