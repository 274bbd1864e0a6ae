"""Times of statements, and tables of them."""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable, Iterator, Sequence

    from psycopg import Connection


class Table:
    """Figures with a title, printed as Markdown."""

    def __init__(self, title: str, *header: str) -> None:
        self._lines = [
            f"## {title}",
            "",
            f"| {' | '.join(header)} |",
            "|---" + "|---:" * (len(header) - 1) + "|",
        ]

    def add(self, name: str, *cells: float | str) -> None:
        """Append a row; numbers are shown with three digits."""
        texts = [cell if isinstance(cell, str) else _short(cell) for cell in cells]
        self._lines.append(f"| {name} | {' | '.join(texts)} |")

    def show(self) -> None:
        """Print it."""
        print("\n".join(self._lines) + "\n", flush=True)


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"  # noqa: PLR2004 - three digits


def milliseconds(
    connection: Connection,
    statement: str,
    parameters: Sequence[Sequence[Any]],
    *,
    prepare: bool = True,
) -> float:
    """The median time of a statement with its rows fetched, once with each set of parameters.

    Args:
        connection: To the server, in autocommit mode.
        statement: What to run.
        parameters: The statement's parameters, a set for each run.
        prepare: Whether the server plans it once, or for each run.
    """
    times = []
    with connection.cursor(binary=True) as cursor:
        for values in parameters:
            start = time.perf_counter()
            cursor.execute(statement, values, prepare=prepare)
            cursor.fetchall()
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


def server_milliseconds(connection: Connection, statement: str) -> float:
    """The least time of five runs as the server takes it, without sending the rows."""
    explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"
    plans = [connection.execute(explain).fetchone() for _ in range(5)]
    return min(float(plan[0][0]["Execution Time"]) for plan in plans if plan)


def planned_once_milliseconds(
    connection: Connection, statement: str, keys: Sequence[tuple[uuid.UUID, uuid.UUID]]
) -> float:
    """The least mean time of five runs over all keys, planned once and not sent.

    The way to a client takes as long as a short statement, and differs more than two of them.

    Args:
        connection: To the server.
        statement: A SELECT with two parameters of type uuid.
        keys: The values of both, for each execution.
    """
    body = statement.strip().removeprefix("SELECT") % ("firsts[i]", "seconds[i]")
    connection.execute(
        f"""
        CREATE OR REPLACE FUNCTION pg_temp.run_all(firsts uuid[], seconds uuid[]) RETURNS void
        LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
        BEGIN
          FOR i IN 1 .. cardinality(firsts) LOOP PERFORM {body}; END LOOP;
        END $$"""
    )
    columns = [list(column) for column in zip(*keys, strict=True)]
    run_all = "SELECT pg_temp.run_all(%s, %s)"
    return min(seconds(lambda: connection.execute(run_all, columns)) for _ in range(5)) * (
        1000 / len(keys)
    )


def seconds(run: Callable[[], object]) -> float:
    """The time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def write_cost(connection: Connection, statements: Sequence[str]) -> float:
    """The median time of statements that write, in milliseconds; each is rolled back.

    The commit is not in it: it flushes the disk, whatever was written.
    """
    times = []
    for statement in statements:
        with rolled_back(connection):
            start = time.perf_counter()
            connection.execute(statement)
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1000


@contextmanager
def rolled_back(connection: Connection) -> Iterator[None]:
    """A transaction, or a part of one, that leaves nothing behind."""
    with connection.transaction(force_rollback=True):
        yield


def sizes(connection: Connection, table: str) -> dict[str, int]:
    """The size of a table and of each of its indexes. Unit: bytes."""
    rows = connection.execute(
        "SELECT relname, pg_table_size(oid) FROM pg_class WHERE oid = %(table)s::regclass"
        " OR oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = %(table)s::regclass)"
        " ORDER BY relkind DESC, relname",
        {"table": table},
    ).fetchall()
    return {str(name): int(size) for name, size in rows}


def execute(connection: Connection, *statements: str) -> None:
    """Run statements that return nothing, one after the other."""
    for statement in statements:
        connection.execute(statement)
