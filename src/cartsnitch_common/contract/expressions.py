"""The contract's own rules in CEL, each with a Python condition that holds only where it does.

The key is the whole rule, its id and its expression: one that changes is not known
any more, and what is not known is left to protovalidate. A condition may refuse what
the rule accepts, never the other way round; ``tests/unit/contract/test_accepting.py``
holds both sides against each other.

In a condition, ``{this}`` is the variable of the value, ``{field}`` that of a field of
the message, None where it is unset.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What to ask in Python instead of a rule.

    Attributes:
        rule: The rule in CEL.
        text: The condition.
        fixed: Fields that the condition takes for granted to have one value.
    """

    rule: str
    text: str
    fixed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def find_condition(rule_id: str, expression: str) -> Condition | None:
    """The condition of a rule, or None for one that is not known."""
    found = _CONDITIONS.get(rule_id)
    return found if found is not None and found.rule == expression else None


def _day_exists(year: int, month: int, day: int) -> bool:
    leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
    longest = (29 if leap else 28) if month == 2 else 30 if month in {4, 6, 9, 11} else 31  # noqa: PLR2004 - months
    return day <= longest


NIL_UUID: Final = "00000000-0000-0000-0000-000000000000"

NAMES: Final[dict[str, Any]] = {
    "nil": NIL_UUID,
    "hex_digits": bytes.maketrans(b"123456789abcdef", b"0" * 15),
    "day_exists": _day_exists,
    "is_uuid": re.compile(
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII
    ).fullmatch,
    # Each is as the contract's pattern of Decimal.value, within one rule's digits.
    "is_quantity": re.compile(
        r"(?=[^1-9]*[1-9])-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,3}0*)?", re.ASCII
    ).fullmatch,
    "is_discount": re.compile(r"(0|[1-9][0-9]{0,9})(\.[0-9]{1,2}0*)?", re.ASCII).fullmatch,
    "is_ratio": re.compile(r"(0|[1-9][0-9]{0,17})(\.[0-9]{1,4}0*)?", re.ASCII).fullmatch,
    "is_probability": re.compile(r"0(\.[0-9]{1,4}0*)?|1(\.0+)?", re.ASCII).fullmatch,
    "is_percent": re.compile(r"[0-9]{1,2}(\.[0-9]*)?|100(\.0*)?", re.ASCII).fullmatch,
}
"""The objects that the conditions name."""

_USD: Final = MappingProxyType({"currency_code": "USD"})


def _ordered(first: str, second: str, relation: str = "<=") -> Condition:
    """A rule that one date of a message is not after another."""
    sides = [
        f"this.{name}.year * 10000 + this.{name}.month * 100 + this.{name}.day"
        for name in (first, second)
    ]
    left, right = (
        f"({{{name}}}.year, {{{name}}}.month, {{{name}}}.day)" for name in (first, second)
    )
    return Condition(
        rule=f"!has(this.{first}) || !has(this.{second}) || {f' {relation} '.join(sides)}",
        text=f"({{{first}}} is None or {{{second}}} is None or {left} {relation} {right})",
    )


def _together(first: str, second: str) -> Condition:
    """A rule that two fields are set together or not at all."""
    return Condition(
        rule=f"has(this.{first}) == has(this.{second})",
        text=f"({{{first}}} is None) == ({{{second}}} is None)",
    )


_CONDITIONS: Final[dict[str, Condition]] = {
    "text.no_nul": Condition(
        rule=r"!this.contains('\u0000')",
        text=r"'\x00' not in {this}",
    ),
    "uuid.lower_case": Condition(
        rule="!this.matches('[A-F]')",
        text="is_uuid({this})",
    ),
    "date.exists": Condition(
        rule="this.day <= (this.month == 2"
        " ? ((this.year % 4 == 0 && this.year % 100 != 0) || this.year % 400 == 0 ? 29 : 28)"
        " : (this.month in [4, 6, 9, 11] ? 30 : 31))",
        text="({day} <= 28 or day_exists({year}, {month}, {day}))",
    ),
    "money.sign": Condition(
        rule="this.units == 0 || this.nanos == 0 || (this.units < 0) == (this.nanos < 0)",
        text="({nanos} == 0 or {units} == 0 or ({units} < 0) == ({nanos} < 0))",
    ),
    "money.price": Condition(
        rule="this.currency_code != 'USD' ? 'must be in USD'"
        " : this.units < 0 || this.nanos < 0 ? 'must not be negative'"
        " : this.units > 99999999 ? 'must have at most 8 digits before the point'"
        " : this.nanos % 100000 != 0 ? 'must have at most 4 decimal places' : ''",
        text="0 <= {units} <= 99999999 and 0 <= {nanos} and {nanos} % 100000 == 0",
        fixed=_USD,
    ),
    "money.amount": Condition(
        rule="this.currency_code != 'USD' ? 'must be in USD'"
        " : this.nanos % 10000000 != 0 ? 'must have at most 2 decimal places' : ''",
        text="{nanos} % 10000000 == 0",
        fixed=_USD,
    ),
    "money.amount_not_negative": Condition(
        rule="this.currency_code != 'USD' ? 'must be in USD'"
        " : this.units < 0 || this.nanos < 0 ? 'must not be negative'"
        " : this.nanos % 10000000 != 0 ? 'must have at most 2 decimal places' : ''",
        text="{units} >= 0 and {nanos} >= 0 and {nanos} % 10000000 == 0",
        fixed=_USD,
    ),
    "decimal.quantity": Condition(
        rule="!this.value.matches('[1-9]') ? 'must not be zero'"
        " : this.value.matches('^-?[0-9]{10}') ? 'must have at most 9 digits before the point'"
        " : this.value.matches('[.][0-9]{3}[0-9]*[1-9]') ? 'must have at most 3 decimal places'"
        " : ''",
        text="is_quantity({value})",
    ),
    "decimal.discount": Condition(
        rule="this.value.startsWith('-') ? 'must not be negative'"
        " : this.value.matches('^[0-9]{11}') ? 'must have at most 10 digits before the point'"
        " : this.value.matches('[.][0-9]{2}[0-9]*[1-9]') ? 'must have at most 2 decimal places'"
        " : ''",
        text="is_discount({value})",
    ),
    "decimal.ratio": Condition(
        rule="this.value.startsWith('-') ? 'must not be negative'"
        " : this.value.matches('[.][0-9]{4}[0-9]*[1-9]') ? 'must have at most 4 decimal places'"
        " : ''",
        text="is_ratio({value})",
    ),
    "decimal.probability": Condition(
        rule="this.value.matches('^(0([.][0-9]{1,4}0*)?|1([.]0+)?)$')",
        text="is_probability({value})",
    ),
    "timestamp.storable": Condition(
        rule="this >= timestamp('0001-01-01T00:00:00Z')"
        " && this <= timestamp('9999-12-31T23:59:59.999999Z')"
        " && !string(this).matches('[.][0-9]{6}[0-9]*[1-9]')",
        text="-62135596800 <= {seconds} <= 253402300799"
        " and 0 <= {nanos} <= 999999999 and {nanos} % 1000 == 0",
    ),
    "coupon.percent": Condition(
        rule="!(this.discount_type in [1, 3]) || !has(this.discount_value)"
        " || this.discount_value.value.matches('^-|^[0-9]{1,2}([.]|$)|^100([.]0*)?$')",
        text="({discount_type} not in (1, 3) or {discount_value} is None"
        " or is_percent({discount_value}.value))",
    ),
    "price_increase.rise": Condition(
        rule="!has(this.previous_price) || !has(this.current_price)"
        " || this.current_price.units > this.previous_price.units"
        " || (this.current_price.units == this.previous_price.units"
        " && this.current_price.nanos > this.previous_price.nanos)",
        text="({previous_price} is None or {current_price} is None"
        " or ({current_price}.units, {current_price}.nanos)"
        " > ({previous_price}.units, {previous_price}.nanos))",
    ),
    "price_observation.purchase_item": Condition(
        rule="!has(this.purchase_item_id) || this.source == 1",
        text="({purchase_item_id} is None or {source} == 1)",
    ),
    "receipt.items": Condition(
        rule="size(this.items) > 0",
        text="len({this}.items) > 0",
    ),
    "receipt.ids": Condition(
        rule="this.purchase.id == '' && this.purchase.store_id == ''"
        " && this.purchase.items.all(i, i.id == '' && i.purchase_id == '')",
        text="{purchase} is not None and not {purchase}.id and not {purchase}.store_id"
        " and not any(item.id or item.purchase_id for item in {purchase}.items)",
    ),
    "coupons_updated.not_empty": Condition(
        rule="size(this.coupons) + size(this.removed_coupon_ids) > 0",
        text="len({coupons}) + len({removed_coupon_ids}) > 0",
    ),
    "normalized_product.size": _together("size", "size_unit"),
    "product_match.size": _together("observed_size", "observed_size_unit"),
    "store_location.coordinates": _together("lat", "lng"),
    "date_range.order": _ordered("from_date", "to_date"),
    "coupon.valid_dates": _ordered("valid_from", "valid_to"),
    "price_increase.order": _ordered("previous_date", "current_date"),
    "price_increase.dates": _ordered("previous_date", "current_date", "<"),
}
