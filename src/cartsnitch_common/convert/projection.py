"""A SELECT of an entity as a SELECT of the scalars that its message is made of.

PostgreSQL writes ids and numbers as text and counts days and microseconds faster than a
driver builds a UUID, a Decimal or a datetime, which the message then takes apart again.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnClause,
    Text,
    cast,
    extract,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.orm import LoaderCriteriaOption
from sqlalchemy.sql.visitors import iterate

from cartsnitch_common.convert.shapes import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import ColumnElement, Select

    from cartsnitch_common.convert.mapping import Mapping
    from cartsnitch_common.convert.pairs import Pair

_EPOCH: Final[ColumnElement[Any]] = literal_column(f"DATE '{dt.date(1970, 1, 1)}'")
_MILLION: Final[ColumnElement[Any]] = literal_column("1000000")
_AS_TEXT: Final = frozenset({Shape.UUID, Shape.ENUM, Shape.MONEY, Shape.DECIMAL, Shape.TEXTS})
_WORDS: Final = frozenset({"textclause", "textual_label_reference"})
"""How SQLAlchemy calls what it writes into a statement as it was given."""


def project(statement: Select[Any], entity: Any, mapping: Mapping[Any, Any]) -> Select[Any]:
    """A statement that selects an entity's scalars, in the order of the mapping's pairs.

    Args:
        statement: A SELECT of the entity alone.
        entity: The mapping's class, or an ``aliased`` one.
        mapping: The entity's.
    """
    statement = _without_loading(statement)
    if not _speaks_of_its_columns(statement):
        found = mapping.scalars if entity is mapping.row else scalars(entity, mapping.pairs)
        return _selecting(statement, found)
    # What the ORM selects, so that a column's number is the same.
    loaded = [each.key for each in inspect(entity).mapper.column_attrs if not each.deferred]
    inner = _selecting(statement, [getattr(entity, name) for name in loaded]).subquery()
    # PostgreSQL keeps a subquery's order where nothing is done with its rows but this.
    outer = select(*_scalars(inner.c, mapping.pairs))
    # Criteria that are given for an entity are read from the outermost statement alone.
    options: Any = statement._with_options  # noqa: SLF001 - as below
    return outer.options(*options).execution_options(**statement.get_execution_options())


def scalars(entity: Any, pairs: Iterable[Pair]) -> list[ColumnElement[Any]]:
    """The scalars of an entity.

    Text: ids, numbers with all their digits, JSON. Whole numbers: days since 1970-01-01
    of a date, microseconds since then of an instant. The others are as they are.

    Args:
        entity: A mapped class, or an ``aliased`` one.
        pairs: The columns to read.
    """
    return _scalars({pair.column: getattr(entity, pair.column) for pair in pairs}, pairs)


def _without_loading(statement: Select[Any]) -> Select[Any]:
    """The statement without the options that tell how an entity is loaded.

    They are errors where none is. Criteria stay: they choose rows.
    """
    given: Any = statement._with_options  # noqa: SLF001 - as below
    criteria = tuple(each for each in given if isinstance(each, LoaderCriteriaOption))
    if len(criteria) == len(given):
        return statement
    bare = statement._generate()  # noqa: SLF001 - options() only adds some
    bare._with_options = criteria  # noqa: SLF001
    return bare


def _speaks_of_its_columns(statement: Any) -> bool:
    """Whether anything in it depends on which columns it selects.

    DISTINCT compares and sorts by them. A name or a number that is written as text is first
    looked for among them, in ORDER BY and GROUP BY.
    """
    return (
        statement._distinct  # noqa: SLF001 - a statement tells its parts in no other way
        or statement._prefixes  # noqa: SLF001
        or statement._suffixes  # noqa: SLF001
        or any(
            _is_text(element)
            for clause in (*statement._order_by_clauses, *statement._group_by_clauses)  # noqa: SLF001
            for element in iterate(clause)
        )
    )


def _is_text(element: Any) -> bool:
    if isinstance(element, ColumnClause):
        return element.table is None
    return element.__visit_name__ in _WORDS


def _selecting(statement: Select[Any], columns: Iterable[Any]) -> Select[Any]:
    """The statement with columns in the place of its entity.

    An entity that took another's place in it before is among what is joined, and would be
    joined twice.
    """
    replaced = bool(statement._memoized_select_entities)  # noqa: SLF001
    return statement.with_only_columns(*columns, maintain_column_froms=not replaced)


def _scalars(columns: Any, pairs: Iterable[Pair]) -> list[ColumnElement[Any]]:
    # By names that no column has: a name in ORDER BY means what is selected under it.
    return [
        _scalar(columns[pair.column], pair.shape).label(f"_{place}")
        for place, pair in enumerate(pairs)
    ]


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
