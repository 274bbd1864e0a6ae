"""A SELECT of an entity as a SELECT of the scalars that its message is made of.

PostgreSQL writes ids and numbers as text and counts days and microseconds faster than a
driver builds a UUID, a Decimal or a datetime, which the message then takes apart again.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Text, cast, extract, literal_column

from cartsnitch_common.convert.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement

    from cartsnitch_common.convert.pairs import Pair

_EPOCH: Final[ColumnElement[Any]] = literal_column(f"DATE '{dt.date(1970, 1, 1)}'")
_MILLION: Final[ColumnElement[Any]] = literal_column("1000000")
_AS_TEXT: Final = frozenset({Shape.UUID, Shape.ENUM, Shape.MONEY, Shape.DECIMAL, Shape.TEXTS})


def project(entity: Any, pairs: Iterable[Pair]) -> list[ColumnElement[Any]]:
    """The scalars of an entity, in the order of the pairs.

    Text: ids, numbers with all their digits, JSON. Whole numbers: days since 1970-01-01
    of a date, microseconds since then of an instant. The others are as they are.

    Args:
        entity: A mapped class, or an ``aliased`` one.
        pairs: The columns to read.
    """
    return [_scalar(getattr(entity, pair.column), pair.shape) for pair in pairs]


def _scalar(column: Any, shape: Shape) -> ColumnElement[Any]:
    if shape in _AS_TEXT:
        return cast(column, Text)
    if shape is Shape.DATE:
        return cast(column - _EPOCH, BigInteger)
    if shape is Shape.TIME:
        # NUMERIC since PostgreSQL 14: whole microseconds, not a float's nearest.
        return cast(extract("epoch", column) * _MILLION, BigInteger)
    scalar: ColumnElement[Any] = column.expression
    return scalar
