"""The drivers' own classes, without loading a driver.

A service loads the one that it uses, when it makes an engine: together they take
as long to load as SQLAlchemy. An error of a driver that is not loaded does not exist.
"""

from __future__ import annotations

import sys


def asyncpg_classes(*names: str) -> tuple[type[Exception], ...]:
    """Classes of asyncpg, for ``isinstance`` and ``except``; none if it is not loaded."""
    return _classes("asyncpg", names)


def psycopg_classes(*names: str) -> tuple[type[Exception], ...]:
    """Classes of psycopg, for ``isinstance`` and ``except``; none if it is not loaded."""
    return _classes("psycopg", names)


def _classes(driver: str, names: tuple[str, ...]) -> tuple[type[Exception], ...]:
    module = sys.modules.get(driver)
    return () if module is None else tuple(getattr(module, name) for name in names)
