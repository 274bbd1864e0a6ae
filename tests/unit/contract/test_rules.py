from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cartsnitch_common.contract import check
from cartsnitch_common.errors import InvalidFieldError
from tests.field_rules import broken_by, cel_ids, fields, message_rules, messages, rules_of
from tests.sound import ID, OTHER_ID, put, sound, sound_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MESSAGES = {message.name: message for message in messages()}

# A text that breaks a pattern and nothing else.
UNLIKE = "~ ~"
# A text that fits its pattern and is longer than any limit; no other pattern allows one.
ENDLESS = {
    r"^https?://[!-~]+$": "https://" + "a" * 5000,
    r"^cartsnitch(\.[a-z][a-z0-9_]*)+$": "cartsnitch." + "a" * 5000,
    r"^[a-z][a-z0-9_]*$": "a" * 5000,
}
# What breaks a rule of ours, by its id; for a number it is set in the sound one.
OURS: dict[str, Any] = {
    "uuid.lower_case": ID.upper(),
    "text.no_nul": "a\x00b",
    "money.price": {"currency_code": "EUR"},
    "money.amount": {"currency_code": "EUR"},
    "money.amount_not_negative": {"currency_code": "EUR"},
    "decimal.quantity": {"value": "0.000"},
    "decimal.discount": {"value": "-0.01"},
    "decimal.ratio": {"value": "-0.5"},
    "decimal.probability": {"value": "1.0001"},
    "timestamp.storable": {"nanos": 1},
    "receipt.items": {"items": []},
}
# The bounds that break another rule too: a day past 31 is no day of its month, and
# negative nanos have another sign than the sound units.
NOT_ALONE = {("Date.day", "lte"), ("Money.nanos", "gte")}


def _set(**values: Any) -> Callable[[Any], None]:
    def change(message: Any) -> None:
        for name, value in values.items():
            put(message, message.DESCRIPTOR.fields_by_name[name], value)

    return change


def breakers(name: str) -> Iterator[tuple[str, Any, str]]:
    """What breaks each rule of a field: the rule's id, the value, and what follows the path."""
    rules = rules_of(name)
    if rules.required:
        yield "required", None, ""
    if rules.HasField("repeated"):
        yield from _of_lists(name, rules.repeated)
    elif rules.HasField("string"):
        yield from ((rule, value, "") for rule, value in _of_texts(rules.string, rules))
    elif rules.HasField("enum"):
        yield from (("enum.not_in", 0, ""), ("enum.defined_only", 99, ""))
    yield from ((rule, value, "") for rule, value in _of_numbers(name, rules))
    yield from ((rule.id, _ours(name, rule.id), "") for rule in rules.cel)


def _of_numbers(name: str, rules: Any) -> Iterator[tuple[str, Any]]:
    for kind in ("int32", "int64", "double"):
        for bound, beyond in (("gte", -1), ("lte", 1)):
            if rules.HasField(kind) and (name, bound) not in NOT_ALONE:
                yield f"{kind}.gte_lte", getattr(getattr(rules, kind), bound) + beyond


def _ours(name: str, rule: str) -> Any:
    if not isinstance(OURS[rule], dict):
        return OURS[rule]
    changed = getattr(sound(fields()[name].containing_type), fields()[name].name)
    _set(**OURS[rule])(changed)
    return changed


def _of_texts(text: Any, rules: Any) -> Iterator[tuple[str, str]]:
    if text.uuid:
        yield "string.uuid", "no uuid"
        if not rules.ignore:
            yield "string.uuid_empty", ""
    if text.email:
        yield "string.email", "ada@"
        yield "string.max_len", "a" * text.max_len + "@parent.example"
    elif text.pattern:
        yield "string.pattern", UNLIKE[: text.len or None]
        if text.pattern in ENDLESS:
            yield "string.max_len", ENDLESS[text.pattern]
    elif text.max_len:
        yield "string.max_len", "x" * (text.max_len + 1)
    if text.min_len:
        yield "string.min_len", ""


def _of_lists(name: str, rules: Any) -> Iterator[tuple[str, Any, str]]:
    field = fields()[name]
    (one,) = sound_value(field.containing_type.name, field)
    if rules.min_items:
        yield "repeated.min_items", [], ""
    if rules.unique:
        yield "repeated.unique", [one, one], ""
    if rules.max_items:
        many = [one] * (rules.max_items + 1)
        if rules.unique:
            stem = one[:-4] if len(one) == len(ID) else ""
            many = [f"{stem}{number + 1000:04d}" for number in range(len(many))]
        yield "repeated.max_items", many, ""
    if rules.HasField("items"):
        for rule, value in _of_texts(rules.items.string, rules.items):
            yield rule, [one, value], "[1]"
        for rule in rules.items.cel:
            yield rule.id, [OTHER_ID, OURS[rule.id]], "[1]"


CASES = [
    pytest.param(name, rule, value, after, id=f"{name}-{rule}")
    for name in fields()
    for rule, value, after in breakers(name)
]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_sound_message_breaks_no_rule(name: str) -> None:
    """There is a message of every type, with its fields set, that all rules accept."""
    check(sound(MESSAGES[name]))


@pytest.mark.parametrize(("name", "rule", "value", "after"), CASES)
def test_each_rule_of_each_field_refuses(name: str, rule: str, value: Any, after: str) -> None:
    """A message that is sound but for one value breaks that one rule, at that field."""
    message = sound(fields()[name].containing_type)
    put(message, fields()[name], value)
    assert broken_by(message) == [(fields()[name].name + after, rule)]


def test_every_rule_id_of_the_contract_is_tried() -> None:
    """No rule is without a message that breaks it, above or among the messages' own below."""
    declared = {rule for name in fields() for rule in cel_ids(rules_of(name))}
    declared |= {rule.id for name in MESSAGES for rule in message_rules(MESSAGES[name]).cel}
    tried = {case.values[1] for case in CASES} | {rule for _, rule, _ in AROUND}
    # An empty text is no UUID: that has an id of its own, and no rule.
    assert tried == declared | _standard_rules() | {"string.uuid_empty"}


def _standard_rules() -> set[str]:
    """The id of every standard rule that the contract uses."""
    found = {"required"}
    for name in fields():
        rules = rules_of(name)
        for kind, inner in [*rules.ListFields(), *rules.repeated.items.ListFields()]:
            if kind.name in {"string", "repeated", "enum", "int32", "int64", "double"}:
                found |= {f"{kind.name}.{one.name}" for one, _ in inner.ListFields()}
    for kind in ("int32", "int64", "double"):
        found = found - {f"{kind}.gte", f"{kind}.lte"} | {f"{kind}.gte_lte"}
    # What holds other rules, and the length of a state, of which its pattern speaks first.
    return found - {"repeated.items", "string.len"}


def _date(**parts: int) -> Any:
    return type(sound(MESSAGES["Date"]))(**({"year": 1, "month": 1, "day": 1} | parts))


def _decimal(value: str) -> Any:
    return type(sound(MESSAGES["Decimal"]))(value=value)


def _with_an_item_id(receipt: Any) -> None:
    receipt.purchase.items[0].id = ID


# message, the rule that it breaks as a whole, and how.
AROUND: list[tuple[str, str, Callable[[Any], None]]] = [
    ("Coupon", "coupon.percent", _set(discount_type=1, discount_value=_decimal("100.01"))),
    ("Coupon", "coupon.percent", _set(discount_type=3, discount_value=_decimal("101"))),
    ("Coupon", "coupon.valid_dates", _set(valid_from=_date(day=2))),
    ("CouponsUpdated", "coupons_updated.not_empty", _set(coupons=None, removed_coupon_ids=None)),
    ("Date", "date.exists", _set(year=2025, month=2, day=29)),
    ("Date", "date.exists", _set(year=1900, month=2, day=29)),
    ("Date", "date.exists", _set(month=4, day=31)),
    *(
        (name, "date_range.order", _set(from_date=_date(year=2, day=2), to_date=_date(year=2)))
        for name in (
            "ListPriceObservationsRequest",
            "ListProductSizesRequest",
            "ListPurchasesRequest",
            "StreamPriceObservationsRequest",
        )
    ),
    ("Money", "money.sign", _set(nanos=-1)),
    ("Money", "money.sign", _set(units=-1, nanos=1)),
    ("NormalizedProduct", "normalized_product.size", _set(size=None)),
    ("NormalizedProduct", "normalized_product.size", _set(size_unit=None)),
    ("PriceIncrease", "price_increase.dates", _set(current_date=_date())),
    ("PriceIncrease", "price_increase.rise", _set(current_price=sound(MESSAGES["Money"]))),
    ("PriceIncreaseDetected", "price_increase.order", _set(previous_date=_date(year=3))),
    ("PriceIncreaseDetected", "price_increase.rise", _set(current_price=sound(MESSAGES["Money"]))),
    ("PriceObservation", "price_observation.purchase_item", _set(source=2, purchase_item_id=ID)),
    ("ProductMatch", "product_match.size", _set(observed_size=None)),
    ("Receipt", "receipt.ids", _with_an_item_id),
    ("StoreLocation", "store_location.coordinates", _set(lat=None)),
    ("StoreLocation", "store_location.coordinates", _set(lng=None)),
]


@pytest.mark.parametrize(("name", "rule", "change"), AROUND)
def test_each_rule_of_a_whole_message_refuses(
    name: str, rule: str, change: Callable[[Any], None]
) -> None:
    """A message whose fields are sound by themselves breaks the one rule between them."""
    message = sound(MESSAGES[name])
    change(message)
    assert broken_by(message) == [("", rule)]


def test_every_rule_of_a_whole_message_is_tried() -> None:
    """No message has a rule that is not broken above."""
    declared = {(name, rule.id) for name in MESSAGES for rule in message_rules(MESSAGES[name]).cel}
    assert {(name, rule) for name, rule, _ in AROUND} == declared


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        ("PurchaseItem.unit_price", {"units": -1}, "must not be negative"),
        ("PurchaseItem.unit_price", {"units": 0, "nanos": -1}, "must not be negative"),
        ("PurchaseItem.unit_price", {"units": 100_000_000}, "at most 8 digits before the point"),
        ("PurchaseItem.unit_price", {"nanos": 10_000}, "at most 4 decimal places"),
        ("PurchaseItem.unit_price", {"currency_code": "EUR"}, "must be in USD"),
        ("PurchaseItem.extended_price", {"nanos": 1_000_000}, "at most 2 decimal places"),
        ("PurchaseItem.extended_price", {"units": -1, "nanos": -1}, "at most 2 decimal places"),
        ("Coupon.min_purchase", {"units": -1}, "must not be negative"),
        ("PurchaseItem.quantity", {"value": "-0.0"}, "must not be zero"),
        ("PurchaseItem.quantity", {"value": "-1000000000"}, "at most 9 digits before the point"),
        ("PurchaseItem.quantity", {"value": "1.23401"}, "at most 3 decimal places"),
        ("Coupon.discount_value", {"value": "1.001"}, "at most 2 decimal places"),
        ("PriceIncrease.increase_ratio", {"value": "0.00001"}, "at most 4 decimal places"),
    ],
)
def test_a_number_that_no_column_holds_says_why(
    name: str, changes: dict[str, Any], reason: str
) -> None:
    """One rule of a column's numbers has one id, and a reason for each way to break it."""
    message = sound(fields()[name].containing_type)
    inner = getattr(message, fields()[name].name)
    for part, value in changes.items():
        setattr(inner, part, value)
    with pytest.raises(InvalidFieldError, match=reason) as broken:
        check(message)
    assert broken.value.field == fields()[name].name


@pytest.mark.parametrize("value", ["1.5000", "-0.001", "999999999.999000000"])
def test_trailing_zeros_are_no_decimal_places(value: str) -> None:
    """A number keeps the rules however many zeros stand behind it."""
    message = sound(MESSAGES["PurchaseItem"])
    message.quantity.value = value
    check(message)


def _deep() -> Any:
    request = sound(MESSAGES["RecordPurchaseRequest"])
    items = request.receipt.purchase.items
    items.append(items[0])
    items[1].unit_price.units = -1
    return request


def _code() -> Any:
    product = sound(MESSAGES["NormalizedProduct"])
    product.upc_variants.append("40-11")
    return product


@pytest.mark.parametrize(
    ("message", "proto", "json"),
    [
        (
            _deep(),
            "receipt.purchase.items[1].unit_price",
            "receipt.purchase.items[1].unitPrice",
        ),
        (_code(), "upc_variants[1]", "upcVariants[1]"),
    ],
)
def test_a_broken_rule_names_its_field(message: Any, proto: str, json: str) -> None:
    """The path leads through messages and lists, in the names of the side that asks."""
    with pytest.raises(InvalidFieldError) as broken:
        check(message)
    assert broken.value.field == proto
    with pytest.raises(InvalidFieldError) as broken:
        check(message, json_names=True)
    assert broken.value.field == json
