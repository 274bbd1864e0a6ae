"""Transactions of asyncpg: begun with a statement of ours, and not committed by mistake."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from cartsnitch_common.db.engine_events import ISOLATION
from cartsnitch_common.errors import TransactionAbortedError

if TYPE_CHECKING:
    from collections.abc import Coroutine

BEGIN_NEXT: Final = "CLOSE ALL; COMMIT; BEGIN"
"""Commits, and begins the next transaction in the same round trip.

In a transaction that an error has ended, COMMIT rolls back without an error, and what is
behind it would be run. Its first statement fails there, which skips the others.
"""

_EDGE: Final = re.compile(
    rf"\s*(?:(?P<commit>COMMIT|END)|(?P<begin>(?:{BEGIN_NEXT}|BEGIN|START\s+TRANSACTION)\b[^;]*))\b",
    re.IGNORECASE,
)
"""Where a query begins or commits a transaction, in whatever case somebody writes it."""


@cache
def connection_class(statement: str) -> type[asyncpg.Connection]:
    """A class for ``asyncpg.connect(connection_class=...)``.

    What begins a transaction is one query without parameters, whoever sends it: SQLAlchemy,
    ``connection.transaction()``, or code that says ``BEGIN`` itself. Such a query may hold
    several statements, so a setting for the transaction need not be a round trip of its own.
    Its level is ``ISOLATION`` unless it names one.

    In a transaction that an error has ended, PostgreSQL answers to COMMIT that it rolled back,
    which is no error to a driver: whoever caught the first one would believe that all is
    written. Here it is a ``TransactionAbortedError``.

    Args:
        statement: What comes behind ``BEGIN``, such as ``SET LOCAL statement_timeout = 500``;
            empty for nothing.
    """

    class CarefulConnection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
        def execute(  # its signature is asyncpg's
            self, query: str, *args: Any, timeout: float | None = None
        ) -> Coroutine[Any, Any, str]:
            """See ``asyncpg.Connection``."""
            edge = _EDGE.match(query)
            if edge is not None and edge["commit"]:
                return _committed(super().execute(query, *args, timeout=timeout))
            if edge is not None:
                begin, rest = edge["begin"], query[edge.end() :].lstrip("; ")
                level = "" if "ISOLATION" in begin.upper() else f" ISOLATION LEVEL {ISOLATION}"
                query = f"{begin}{level}; {statement}; {rest}"
            done: Coroutine[Any, Any, str] = super().execute(query, *args, timeout=timeout)
            return done

    return CarefulConnection


async def _committed(commit: Coroutine[Any, Any, str]) -> str:
    done = await commit
    if done == "ROLLBACK":
        raise TransactionAbortedError
    return done
