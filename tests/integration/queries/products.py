"""Products with known ids, and what a session sends."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import ClauseElement, Executable, Select, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.ext.compiler import compiles


@contextmanager
def statements(session: AsyncSession) -> Iterator[list[str]]:
    """What is sent to the server meanwhile, without what begins a transaction."""
    seen: list[str] = []
    engine = session.bind
    assert isinstance(engine, AsyncEngine)

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not statement.startswith("SET LOCAL"):
            seen.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)


def number(n: int) -> uuid.UUID:
    """An id that is the greater the greater its number."""
    return uuid.UUID(f"0199a7c4-1f00-7000-8000-{n:012}")


def add_product(connection: psycopg.Connection[Any], n: int, **values: Any) -> uuid.UUID:
    """Write the product of a number, named after it unless a name is given."""
    row = {"id": number(n), "canonical_name": f"product {n}", **values}
    row = {key: Jsonb(value) if isinstance(value, list) else value for key, value in row.items()}
    columns = ", ".join(row)
    places = ", ".join(["%s"] * len(row))
    connection.execute(
        f"INSERT INTO normalized_products ({columns}) VALUES ({places})", list(row.values())
    )
    return number(n)


class Explain(Executable, ClauseElement):
    """The plan of a statement that is run, as lines of text."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explain)
def _explain(element: Explain, compiler: Any, **arguments: Any) -> str:
    return f"EXPLAIN (ANALYZE, BUFFERS) {compiler.process(element.statement, **arguments)}"


@dataclass(frozen=True, slots=True)
class Plan:
    """How the server ran a statement."""

    text: str

    @property
    def blocks(self) -> int:
        """How many blocks it read, from memory or from disk."""
        (first,) = re.findall(r"Buffers: shared (.*)", self.text)[:1]
        return sum(int(count) for count in re.findall(r"(?:hit|read)=(\d+)", first))

    @property
    def rows(self) -> float:
        """The most rows, or entries of an index, that a step of it found in all its runs."""
        found = re.findall(r"rows=([\d.]+) loops=(\d+)\)", self.text)
        return max(float(rows) * int(loops) for rows, loops in found)


async def plan_of(session: AsyncSession, statement: Select[Any]) -> Plan:
    """Run a statement and say how; for another run it may be another plan."""
    connection = await session.connection()
    rows = await connection.execute(Explain(statement))
    return Plan("\n".join(row[0] for row in rows))
