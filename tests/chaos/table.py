"""The results as a table: on a terminal, and as the page that is kept."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from tests.chaos.play import Result

POINTS = ("a process is killed", "times", "lost", "double effects", "out of order")

COLUMNS = (
    "fault",
    "times",
    "events",
    "lost",
    "twice on the wire",
    "dropped by the inbox",
    "out of order",
    "double effects",
    "back at work, median / longest",
    "rate below",
)

PAGE = """# Reliability

`./scripts/chaos{option}` on {date}: processes of producers, relays and consumers, a PostgreSQL and
a Valkey, all on one machine; each fault injected at its named point, and seen to bite.

{table}

Of the kills, by the point at which the process died. Lost, double and out of order are those of
all kills of such a process together.

{points}

*Twice on the wire* and *dropped by the inbox* are what at-least-once delivery costs; an effect is
never doubled by them. *Back at work* is the time from the fault until what was committed by then
is relayed (relays) or has its effect (all others); where a server was killed, from when it was
started again. With no failure in n faults the rate of failures is below 3/n, at 95 % confidence:
that is what *rate below* says, and no more.

cartsnitch-common {ours}, PostgreSQL {postgres}, Valkey {valkey}, redis-py {redis},
asyncpg {asyncpg}, SQLAlchemy {sqlalchemy}, Python {python}; {cores} cores, {system}, load at
the end {load:.1f}; {minutes:.0f} minutes.
"""


def cells(result: Result) -> tuple[str, ...]:
    """One line of the table."""
    if result.broken_off is not None:
        return (result.fault.name, *("-",) * (len(COLUMNS) - 2), "failed")
    score, verdict = result.score, result.verdict
    back = "-"
    if result.median is not None:
        back = f"{result.median:.2f} / {max(score.recoveries):.2f} s"
    bound = "failed" if result.failures else f"{3 / score.injected:.2g}"
    return (
        result.fault.name,
        f"{score.injected:,}",
        f"{verdict.events:,}",
        str(verdict.lost),
        f"{verdict.repeated:,}",
        f"{result.duplicates:,}",
        str(verdict.inverted),
        str(verdict.doubled),
        back,
        bound,
    )


def total(results: Sequence[Result]) -> tuple[str, ...]:
    """The last line."""
    faults = sum(result.score.injected for result in results)
    verdicts = [result.verdict for result in results]
    failed = any(result.failures for result in results)
    return (
        "all",
        f"{faults:,}",
        f"{sum(verdict.events for verdict in verdicts):,}",
        str(sum(verdict.lost for verdict in verdicts)),
        f"{sum(verdict.repeated for verdict in verdicts):,}",
        f"{sum(result.duplicates for result in results):,}",
        str(sum(verdict.inverted for verdict in verdicts)),
        str(sum(verdict.doubled for verdict in verdicts)),
        "",
        "failed" if failed or not faults else f"{3 / faults:.2g}",
    )


def points(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """The lines of the table of named points."""
    return [
        (point, str(times), *(str(count) for count in (found.lost, found.doubled, found.inverted)))
        for result in results
        for found in [result.verdict]
        for point, times in result.score.points.items()
    ]


def page(results: Sequence[Result], *, option: str, servers: dict[str, str]) -> str:
    """The page that is kept, in Markdown."""
    names = {"ours": "cartsnitch-common", "redis": "redis", "asyncpg": "asyncpg"}
    versions = {name: version(package) for name, package in names.items()}
    return PAGE.format(
        option=option,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        table=_markdown(COLUMNS, [*(cells(result) for result in results), total(results)]),
        points=_markdown(POINTS, points(results)),
        sqlalchemy=version("SQLAlchemy"),
        python=platform.python_version(),
        cores=os.cpu_count(),
        system=f"{platform.system()} {platform.machine()}",
        minutes=sum(result.seconds for result in results) / 60,
        load=os.getloadavg()[0],
        **versions,
        **servers,
    )


def _markdown(header: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> str:
    rule = ("---",) + ("--:",) * (len(header) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *lines))
