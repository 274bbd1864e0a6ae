"""The results as a table: on a terminal, and as the page that is kept."""

from __future__ import annotations

import datetime as dt
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version

from tests.chaos.play import Result

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

*Twice on the wire* and *dropped by the inbox* are what at-least-once delivery costs; an effect is
never doubled by them. *Back at work* is the time from the fault until what was committed by then
is relayed (relays) or has its effect (all others). With no failure in n faults the rate of failures
is below 3/n, at 95 % confidence: that is what *rate below* says, and no more.

cartsnitch-common {ours}, PostgreSQL {postgres}, Valkey {valkey}, redis-py {redis},
asyncpg {asyncpg}, SQLAlchemy {sqlalchemy}, Python {python}, {cores} cores; load at the end
{load:.1f}.
"""


def cells(result: Result) -> tuple[str, ...]:
    """One line of the table."""
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


def page(results: Sequence[Result], *, option: str, servers: dict[str, str]) -> str:
    """The page that is kept, in Markdown."""
    lines = [COLUMNS, ("---",) + ("--:",) * (len(COLUMNS) - 1)]
    lines += [cells(result) for result in results]
    lines.append(total(results))
    names = {"ours": "cartsnitch-common", "redis": "redis", "asyncpg": "asyncpg"}
    versions = {name: version(package) for name, package in names.items()}
    return PAGE.format(
        option=option,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        table="\n".join(f"| {' | '.join(line)} |" for line in lines),
        sqlalchemy=version("SQLAlchemy"),
        python=platform.python_version(),
        cores=os.cpu_count(),
        load=os.getloadavg()[0],
        **versions,
        **servers,
    )
