"""Tables and progress for people: everything for machines is under ``--json``."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from cartsnitch_common.values.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_FILE_WIDTH: Final = 160
"""Unit: characters of a line that goes to a file or a pipe."""


def print_table(
    title: str,
    columns: Iterable[str],
    rows: Iterable[Iterable[object]],
    *,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
) -> None:
    """Print a table. Cells are folded, not cut: on a narrow screen nothing is lost.

    Args:
        title: What it shows.
        columns: Their names.
        rows: A value for each column; printed as plain text, whatever it holds.
        right: The columns that are aligned to the right.
        whole: The columns that are never folded, so that they can be copied.
    """
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(
            column,
            justify="right" if column in right else "left",
            overflow="fold",
            no_wrap=column in whole,
        )
    for row in rows:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, _FILE_WIDTH)
    console.print(table)


@contextmanager
def progress(
    what: str, total: int | None, *, shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """A bar on stderr, if that is a terminal; gives what to call with each step.

    Args:
        what: What is counted.
        total: How many there are; None when that is not known.
        shown: Whether there is to be one at all.
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: bar.advance(task, steps)


def seconds(value: float) -> str:
    """A duration for a table."""
    return f"{value:.1f} s"
