"""The rules of the contract and the limits of the database, probed side by side.

Each value is put into a message and into an INSERT. Where the rules refuse what
the database stores, a row could not be sent; the other way round, a message that
passed every check would fail at the very end. Neither may happen.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from cartsnitch.type.v1 import Date
from tests.contract.sides import MAPPED, kind_of
from tests.field_rules import rules_of, text_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.contract.sides import Sides

ONLY_IN_A_RECEIPT = {"Purchase.id", "Purchase.store_id", "PurchaseItem.id"} | {
    "PurchaseItem.purchase_id"
}
"""Ids that a receipt leaves empty until it is recorded; the converter refuses them empty."""

EXAMPLES = settings(max_examples=60)
# Near every pattern: letters of each case, digits of other scripts, what ends a line.
NEAR = st.text(
    st.sampled_from("AZaz09-_.@:/?#%' \n\t\x00\x1f\x7f\u00e9\u0660\u212a")
    | st.characters(exclude_categories=["Cs"]),
    max_size=20,
)


def of_kind(*kinds: str) -> Any:
    names = [name for name, one in MAPPED.items() if kind_of(one) in kinds]
    assert names
    return pytest.mark.parametrize("name", names)


@pytest.mark.parametrize("name", MAPPED)
def test_what_must_be_set_is_not_null(sides: Sides, name: str) -> None:
    """A column is NOT NULL exactly if its field cannot be unset."""
    one, not_null = MAPPED[name], sides.column(name).not_null
    assert not_null == (rules_of(name).required or not one.field.has_presence)
    nothing = {one.pair.column: None}
    assert sides.stores(one.table, nothing) != not_null
    if name not in ONLY_IN_A_RECEIPT and kind_of(one) not in {"bool", "texts"}:
        # Those may be empty: false, no codes, a receipt that is not recorded yet.
        assert sides.rules_take(name, sides.row_message(one.mapping, nothing)) != not_null


@of_kind("text")
def test_texts_are_as_long_as_their_columns(sides: Sides, name: str) -> None:
    """The longest text of the rule fits exactly, and so does the shortest."""
    rules = text_rules(rules_of(name))
    longest = rules.len or rules.max_len
    assert sides.column(name).length == longest
    if rules.pattern or rules.email or MAPPED[name].is_key:
        return  # probed by generated texts below, or held by the key's own column
    for text, fits in (
        ("x", True),
        ("é" * longest, True),
        ("x" * (longest + 1), False),
        ("", False),
    ):
        assert sides.both_take(name, text) is fits, len(text)


@of_kind("text")
def test_texts_are_refused_by_both_or_none(sides: Sides, name: str) -> None:
    """Whatever the text: what the rule accepts the column stores, and the reverse."""
    if MAPPED[name].is_key:
        return
    rules = text_rules(rules_of(name))
    alike = NEAR
    if rules.pattern:
        # Generated texts may miss a difference that lies far from every match.
        assert any(f"~ '{rules.pattern}'" in check for check in sides.checks(name))
        alike = st.from_regex(re.compile(rules.pattern, re.ASCII))
    elif rules.email:
        alike = st.builds("{}@{}".format, NEAR, NEAR) | st.emails()

    @EXAMPLES
    @given(text=alike | NEAR, place=st.integers(0, 20), instead=st.none() | NEAR)
    def probe(text: str, place: int, instead: str | None) -> None:
        sides.both_take(name, text)
        # One character is another, is several or is gone.
        sides.both_take(name, text[:place] + (instead or "") + text[place + 1 :])

    probe()


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("ada@" + "x" * 63 + ".example", True),
        ("ada@" + "x" * 64 + ".example", False),
        ("ada@parent.example".rjust(254, "a"), True),
        ("ada@parent.example".rjust(255, "a"), False),
        ("!#$%&'*+/=?^_`{|}~-.@x", True),
        ("ada@-x.example", False),
        ("ada@x-.example", False),
        ("(ada)@x", False),
        ("ad\u00e0@x", False),
    ],
)
def test_mail_addresses_end_where_the_standard_says(sides: Sides, text: str, *, fits: bool) -> None:
    """The rule of addresses is the database's to the last character that it allows."""
    assert sides.both_take("User.email", text) is fits


@of_kind("texts")
def test_lists_of_codes_are_refused_by_both_or_none(sides: Sides, name: str) -> None:
    """The codes of a product, how many there are, and that none is there twice."""
    pattern = text_rules(rules_of(name)).pattern
    most = rules_of(name).repeated.max_items
    codes = [f"{number:05d}" for number in range(most + 1)]
    assert sides.both_take(name, codes[:most])
    assert not sides.both_take(name, codes)
    assert not sides.both_take(name, ["4011", "4012", "4011"])

    @EXAMPLES
    @given(texts=st.lists(st.from_regex(re.compile(pattern, re.ASCII)) | NEAR, max_size=4))
    def probe(texts: list[str]) -> None:
        sides.both_take(name, texts)

    probe()


@of_kind("enum")
def test_enums_have_the_columns_values(sides: Sides, name: str) -> None:
    """Every value of the enum is stored, and none that the enum does not have."""
    kind: Any = MAPPED[name].enum
    values = {value.number for value in MAPPED[name].field.enum_type.values}
    for number in range(-1, max(values) + 2):
        message = sides.message(name)
        setattr(message, MAPPED[name].field.name, number)
        assert sides.rules_take(name, message) == (number in values - {0})
    assert all(sides.both_take(name, member) for member in kind)
    (listed,) = sides.checks(name)
    assert set(re.findall(r"'(\w+)'", listed)) == {member.value for member in kind}
    assert not sides.database_takes(name, "unspecified")


@of_kind("money", "decimal")
def test_numbers_have_the_columns_range(sides: Sides, name: str) -> None:
    """The largest and smallest number of the rule are the column's; zero is as well."""
    step = decimal.Decimal(1).scaleb(-sides.column(name).scale)
    by_rules = _range(partial(sides.rules_take_value, name), step)
    assert by_rules == _range(partial(sides.database_takes, name), step)


def _range(
    takes: Callable[[decimal.Decimal], bool], step: decimal.Decimal
) -> tuple[decimal.Decimal, decimal.Decimal, bool]:
    return _furthest(takes, step, -1), _furthest(takes, step, 1), takes(decimal.Decimal(0))


def _furthest(
    takes: Callable[[decimal.Decimal], bool], step: decimal.Decimal, sign: int
) -> decimal.Decimal:
    """The last number that is taken, going from 1 in one direction; zero is looked at by itself."""
    taken, refused = int(1 / step), sign * 10**15
    assert takes(taken * step)
    while abs(refused - taken) > 1:
        middle = (taken + refused) // 2
        if takes((middle or sign) * step):
            taken = middle
        else:
            refused = middle
    return taken * step


@of_kind("money", "decimal")
def test_numbers_have_the_columns_decimal_places(sides: Sides, name: str) -> None:
    """The column's last decimal place is accepted, the next is refused.

    By the rule alone: PostgreSQL rounds what an INSERT has too many of, before any
    CHECK sees it. The rule is what keeps a value from being changed on its way.
    """
    scale = sides.column(name).scale
    last = decimal.Decimal("0.1234567").quantize(decimal.Decimal(1).scaleb(-scale))
    assert sides.both_take(name, last)
    assert not sides.rules_take_value(name, last + decimal.Decimal(1).scaleb(-scale - 1))


@of_kind("money", "decimal")
def test_what_is_no_number_is_not_stored(sides: Sides, name: str) -> None:
    """The contract has no NaN and no infinity, so the column has none."""
    for value in ("NaN", "Infinity", "-Infinity"):
        assert not sides.database_takes(name, decimal.Decimal(value))


@of_kind("money")
def test_only_the_currency_of_the_tables_is_accepted(sides: Sides, name: str) -> None:
    """An amount in another currency would be stored as if it were dollars."""
    message = sides.message(name, decimal.Decimal(1))
    getattr(message, MAPPED[name].field.name).currency_code = "EUR"
    assert not sides.rules_take(name, message)


@of_kind("double")
def test_coordinates_have_the_columns_range(sides: Sides, name: str) -> None:
    """The bounds are the same to the last bit, and both refuse what is no number."""
    rules = rules_of(name).double
    for bound, beyond in ((rules.gte, -math.inf), (rules.lte, math.inf)):
        assert sides.both_take(name, bound)
        assert not sides.both_take(name, math.nextafter(bound, beyond))
        assert not sides.both_take(name, beyond)
    assert not sides.both_take(name, math.nan)


@of_kind("date")
def test_dates_have_the_columns_range(sides: Sides, name: str) -> None:
    """The years 1 to 9999, and only days that exist."""
    for good in (dt.date(1, 1, 1), dt.date(9999, 12, 31), dt.date(2024, 2, 29)):
        assert sides.both_take(name, good)
    for bad in ("0001-12-31 BC", "10000-01-01", "2025-02-29", "2025-04-31", "infinity"):
        assert not sides.database_takes(name, bad)
    for year, month, day in ((0, 12, 31), (10000, 1, 1), (2025, 2, 29), (2025, 4, 31), (0, 0, 0)):
        message = sides.message(name)
        getattr(message, MAPPED[name].field.name).CopyFrom(Date(year=year, month=month, day=day))
        assert not sides.rules_take(name, message)


@of_kind("time")
def test_times_have_the_columns_range(sides: Sides, name: str) -> None:
    """The years 1 to 9999 of UTC, to the microsecond that a column holds."""
    for good in (
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
    ):
        assert sides.both_take(name, good)
    for bad in ("0001-12-31 23:59:59.999999+00 BC", "10000-01-01 00:00:00+00", "infinity"):
        assert not sides.database_takes(name, bad)
    last = 253402300799
    for seconds, nanos in ((-62135596801, 0), (last + 1, 0), (last, 999999001), (1, 1), (1, -1)):
        message = sides.message(name)
        time = getattr(message, MAPPED[name].field.name)
        time.CopyFrom(Timestamp(seconds=seconds, nanos=nanos))
        assert not sides.rules_take(name, message)


@given(value=st.uuids())
@EXAMPLES
def test_ids_are_the_text_that_the_database_writes(sides: Sides, value: Any) -> None:
    """A UUID column reads and writes exactly the one text form that the rule accepts."""
    written = sides.connection.execute("SELECT %s::uuid::text", [value]).fetchone()
    assert written == (str(value),)
    for name, one in MAPPED.items():
        if kind_of(one) != "uuid" or one.companions:
            continue
        assert sides.rules_take_value(name, value)
        message = sides.message(name)
        for other in {str(value).upper(), value.hex, f"{{{value}}}"} - {str(value)}:
            setattr(message, one.field.name, other)
            assert not sides.rules_take(name, message)


def test_every_column_is_compared() -> None:
    """Each mapped column is of a kind that a test above probes."""
    probed = {"text", "texts", "enum", "money", "decimal", "double", "date", "time", "uuid"}
    assert {kind_of(one) for one in MAPPED.values()} == probed | {"bool"}
    assert len(MAPPED) > 80
