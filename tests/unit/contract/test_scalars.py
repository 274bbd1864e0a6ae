from __future__ import annotations

import datetime as dt
import decimal

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from cartsnitch.type.v1 import Money
from cartsnitch_common.contract import check, scalars
from tests.strategies import DATES, TIMES


@given(st.decimals(-(10**10) + 1, 10**10 - 1, places=4))
def test_money_is_exact_and_keeps_the_rules(amount: decimal.Decimal) -> None:
    """Every price comes back as it was, and the message breaks no rule."""
    money = scalars.to_money(amount)
    check(money)
    assert scalars.from_money(money) == amount


@given(st.decimals(-(10**18) + 1, 10**18 - 1, places=3))
def test_decimals_are_exact_and_keep_the_rules(number: decimal.Decimal) -> None:
    """Every quantity comes back as it was."""
    message = scalars.to_decimal(number)
    check(message)
    assert scalars.from_decimal(message) == number


@given(DATES)
def test_dates_are_exact_and_keep_the_rules(date: dt.date) -> None:
    """Every calendar date from year 1 to 9999 comes back as it was."""
    message = scalars.to_date(date)
    check(message)
    assert scalars.from_date(message) == date


@given(TIMES)
def test_instants_are_exact(time: dt.datetime) -> None:
    """Every instant comes back to the microsecond, also before 1970."""
    assert scalars.from_timestamp(scalars.to_timestamp(time)) == time


def test_a_datetime_is_no_date_and_a_naive_one_no_instant() -> None:
    """The two are never mixed up silently."""
    with pytest.raises(TypeError, match="no calendar date"):
        scalars.to_date(dt.datetime(2026, 3, 10, tzinfo=dt.UTC))
    with pytest.raises(ValueError, match="naive"):
        scalars.to_timestamp(dt.datetime(2026, 3, 10))  # noqa: DTZ001 - the case


def test_a_zone_is_converted() -> None:
    """An instant in another zone is the same instant."""
    eastern = dt.timezone(dt.timedelta(hours=-4))
    time = dt.datetime(2026, 3, 10, 10, 30, tzinfo=eastern)
    assert scalars.from_timestamp(scalars.to_timestamp(time)) == time


@pytest.mark.parametrize("nanos", [1, 999, 1_000_000_001, -1])
def test_a_time_finer_than_the_database_is_refused(nanos: int) -> None:
    """PostgreSQL keeps microseconds; what is finer would be lost without a word."""
    with pytest.raises(ValueError, match="microseconds"):
        scalars.from_timestamp(Timestamp(seconds=1, nanos=nanos))


def test_another_currency_is_refused() -> None:
    """The tables hold dollars."""
    with pytest.raises(ValueError, match="USD"):
        scalars.from_money(Money(currency_code="CAD", units=1))
