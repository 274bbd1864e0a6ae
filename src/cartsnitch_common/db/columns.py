"""Named column shapes: each repeated shape is decided here, once.

A text column takes its limit and its pattern from the contract, by the name of
the field, so that a row that the database accepts is one the contract can carry.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import TYPE_CHECKING, Annotated, Any

from sqlalchemy import CheckConstraint, Enum, ForeignKey, Numeric, String, func, text
from sqlalchemy.orm import MappedColumn, mapped_column

from cartsnitch_common.constants import MAX_LENGTH, PATTERN
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    from enum import StrEnum

Id = Annotated[
    uuid.UUID,
    mapped_column(
        primary_key=True,
        default=new_uuid,
        server_default=func.gen_random_uuid(),
        comment="The key; of rows that Python made it ascends with time.",
    ),
]
"""A key: UUIDv7 when Python makes it, a random UUID when the database must."""

CreatedAt = Annotated[
    dt.datetime, mapped_column(server_default=func.now(), comment="When the row was written.")
]
"""When the row was written, by the database's clock."""

UpdatedAt = Annotated[
    dt.datetime,
    mapped_column(
        server_default=func.now(),
        onupdate=func.now(),
        comment="When the row was last changed; who changes it sets it.",
    ),
]
"""When the row was last changed, by the database's clock."""

Amount = Annotated[decimal.Decimal, mapped_column(Numeric(12, 2), comment="US dollars.")]
"""Money that was paid, taxed or taken off. Unit: dollars, to the cent."""

UnitPrice = Annotated[
    decimal.Decimal, mapped_column(Numeric(12, 4), comment="US dollars a piece or pound.")
]
"""The price of one piece or pound. Unit: dollars, to a hundredth of a cent ("3 for $10")."""

Quantity = Annotated[decimal.Decimal, mapped_column(Numeric(12, 3), comment="Pieces, or pounds.")]
"""A count, or a weight in pounds to a thousandth."""

Probability = Annotated[
    decimal.Decimal, mapped_column(Numeric(5, 4), comment="How sure, from 0 to 1.")
]
"""How sure a finding is, from 0 to 1."""


def contract_text(field: str, **arguments: Any) -> MappedColumn[Any]:
    """A text column as long as a field of the contract, such as ``"Store.name"``."""
    return mapped_column(String(MAX_LENGTH[field]), **arguments)


def enum_column(kind: type[StrEnum], *, name: str, **arguments: Any) -> MappedColumn[Any]:
    """A text column with a CHECK that holds exactly the values of an enum.

    Args:
        kind: The contract's enum.
        name: The column's name, of which the constraint's name is made.
        **arguments: Passed on to ``mapped_column``.
    """
    values = Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        validate_strings=True,
        length=16,
        values_callable=lambda members: [member.value for member in members],
    )
    return mapped_column(values, **arguments)


def foreign_key(target: str, *, on_delete: str, **arguments: Any) -> MappedColumn[Any]:
    """A foreign key column that says what happens to it when its parent goes."""
    table = target.partition(".")[0]
    arguments.setdefault("comment", f"The key of a row of {table}.")
    return mapped_column(ForeignKey(target, ondelete=on_delete), **arguments)


def not_negative(*columns: str) -> list[CheckConstraint]:
    """CHECKs that columns hold no negative number, and no NaN, which is above every number."""
    return [
        CheckConstraint(text(f"{name} >= 0 AND {name} <> 'NaN'"), name=f"{name}_not_negative")
        for name in columns
    ]


def a_number(*columns: str) -> list[CheckConstraint]:
    """CHECKs that columns of either sign hold a number: NUMERIC would take NaN as well."""
    return [CheckConstraint(text(f"{name} <> 'NaN'"), name=f"{name}_number") for name in columns]


def not_empty(*columns: str) -> list[CheckConstraint]:
    """CHECKs that text columns are NULL or hold at least one character."""
    return [CheckConstraint(text(f"{name} <> ''"), name=f"{name}_not_empty") for name in columns]


def real_dates(*columns: str) -> list[CheckConstraint]:
    """CHECKs that dates lie in the years 1 to 9999: PostgreSQL has others, and infinity."""
    return [
        CheckConstraint(text(f"{name} BETWEEN '0001-01-01' AND '9999-12-31'"), name=f"{name}_range")
        for name in columns
    ]


def real_times(*columns: str) -> list[CheckConstraint]:
    """CHECKs that instants lie in the years 1 to 9999 of UTC, as those of the contract do."""
    first, last = "0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00"
    return [
        # Backslashes: what follows a colon would be read as the name of a bound parameter.
        CheckConstraint(
            text(f"{name} BETWEEN '{first}' AND '{last}'".replace(":", r"\:")), name=f"{name}_range"
        )
        for name in columns
    ]


def together(name: str, first: str, second: str) -> CheckConstraint:
    """A CHECK that two columns are both set or both NULL."""
    return CheckConstraint(text(f"({first} IS NULL) = ({second} IS NULL)"), name=name)


def matches(column: str, field: str) -> CheckConstraint:
    """A CHECK that a text column looks as the field of the contract must."""
    # A colon before a letter would be read as a bound parameter; no pattern has one.
    return CheckConstraint(text(f"{column} ~ '{PATTERN[field]}'"), name=f"{column}_format")
