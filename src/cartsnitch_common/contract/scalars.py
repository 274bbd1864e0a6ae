"""The contract's scalars from and to Python's own: money, dates, decimals, times.

Conversions come in pairs and are exact: what cannot be carried whole is an
error, never rounded.
"""

from __future__ import annotations

import datetime as dt
from time import time_ns
from typing import TYPE_CHECKING, Final

from google.protobuf.timestamp_pb2 import Timestamp

from cartsnitch.type.v1 import Date, Decimal, Money
from cartsnitch_common.values.numbers import (
    NANOS,
    decimal_to_text,
    money_from_parts,
    money_to_parts,
    text_to_decimal,
)

if TYPE_CHECKING:
    import decimal

CURRENCY: Final = "USD"
"""The one currency that the platform's tables hold."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def to_money(amount: decimal.Decimal | int) -> Money:
    """Dollars as a message.

    Raises:
        TypeError: A float is given; it has lost cents already.
        ValueError: The amount is no number, or has more than nine decimal places.
    """
    units, nanos = money_to_parts(amount)
    return Money(currency_code=CURRENCY, units=units, nanos=nanos)


def from_money(money: Money) -> decimal.Decimal:
    """A message as dollars, without trailing zeros below the cent.

    Raises:
        ValueError: It is in another currency, or units and nanos disagree in sign.
    """
    if money.currency_code != CURRENCY:
        message = f"must be in {CURRENCY}"
        raise ValueError(message)
    return money_from_parts(money.units, money.nanos)


def to_decimal(number: decimal.Decimal | int) -> Decimal:
    """A number as a message, in plain notation.

    Raises:
        TypeError: A float is given.
        ValueError: It is no finite number.
    """
    return Decimal(value=decimal_to_text(number))


def from_decimal(number: Decimal) -> decimal.Decimal:
    """A message as a number.

    Raises:
        ValueError: The text is no number in plain notation.
    """
    return text_to_decimal(number.value)


def to_date(date: dt.date) -> Date:
    """A calendar date as a message.

    Raises:
        TypeError: A datetime is given: a date is no instant.
    """
    if isinstance(date, dt.datetime):
        message = "a datetime is no calendar date"
        raise TypeError(message)
    return Date(year=date.year, month=date.month, day=date.day)


def from_date(date: Date) -> dt.date:
    """A message as a calendar date.

    Raises:
        ValueError: There is no such day.
    """
    return dt.date(date.year, date.month, date.day)


def now() -> Timestamp:
    """The present instant, to the microsecond."""
    seconds, nanos = divmod(time_ns(), NANOS)
    found = Timestamp()
    found.seconds = seconds
    found.nanos = nanos // 1000 * 1000
    return found


def to_timestamp(time: dt.datetime) -> Timestamp:
    """An instant as a message, exact to the microsecond.

    Raises:
        ValueError: The datetime is naive.
    """
    if time.tzinfo is None:
        message = "a naive datetime is no instant"
        raise ValueError(message)
    microseconds = (time - _EPOCH) // _MICROSECOND
    seconds, rest = divmod(microseconds, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def from_timestamp(timestamp: Timestamp) -> dt.datetime:
    """A message as an instant in UTC.

    Raises:
        ValueError: It is finer than a microsecond or beyond the year 9999.
    """
    microseconds, finer = divmod(timestamp.nanos, 1000)
    if finer or not 0 <= timestamp.nanos < NANOS:
        message = "must be whole microseconds"
        raise ValueError(message)
    try:
        return _EPOCH + dt.timedelta(seconds=timestamp.seconds, microseconds=microseconds)
    except OverflowError:
        message = "is beyond the years 1 to 9999"
        raise ValueError(message) from None
