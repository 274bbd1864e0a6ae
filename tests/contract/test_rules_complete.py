from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from tests.field_rules import cel_ids, fields, messages, rules_of, text_rules

BOTH = "both values are valid"
DATE_HAS_RULES = "optional, and a Date checks itself"
PAYLOAD = "one of the payloads, which check themselves; unset for an event of a later version"

WITHOUT_RULE = {
    "BatchGetLatestPricesResponse.observations": "one a product and store: the request bounds it",
    "ConnectUserStoreAccountResponse.created": BOTH,
    "Coupon.requires_clip": BOTH,
    "Coupon.valid_from": DATE_HAS_RULES,
    "Coupon.valid_to": DATE_HAS_RULES,
    "DisconnectUserStoreAccountResponse.removed": BOTH,
    "Envelope.coupons_updated": PAYLOAD,
    "Envelope.price_increase_detected": PAYLOAD,
    "Envelope.prices_updated": PAYLOAD,
    "Envelope.products_normalized": PAYLOAD,
    "Envelope.receipts_ingested": PAYLOAD,
    "Envelope.shrinkflation_detected": PAYLOAD,
    "ListPriceObservationsRequest.from_date": DATE_HAS_RULES,
    "ListPriceObservationsRequest.to_date": DATE_HAS_RULES,
    "ListProductSizesRequest.from_date": DATE_HAS_RULES,
    "ListProductSizesRequest.to_date": DATE_HAS_RULES,
    "ListPurchasesRequest.from_date": DATE_HAS_RULES,
    "ListPurchasesRequest.to_date": DATE_HAS_RULES,
    "ListShrinkflationEventsRequest.since_date": DATE_HAS_RULES,
    "RecordPurchaseResponse.created": BOTH,
    "RequestSyncResponse.joined": BOTH,
    "StreamPriceObservationsRequest.from_date": DATE_HAS_RULES,
    "StreamPriceObservationsRequest.to_date": DATE_HAS_RULES,
}
"""Every field that has no rule of its own, and why it needs none."""

TEXT_IDS = {"Envelope.correlation_id", "Purchase.receipt_id", "IngestedReceipt.receipt_id"}
"""Ids that other programs make: any text."""

NO_NUL_NEEDED = {"page_token", "next_page_token", "contract_version"}
"""Texts that nobody stores in the database as they are."""

MONEY_RULES = {"money.price", "money.amount", "money.amount_not_negative"}
DECIMAL_RULES = {
    "decimal.quantity",
    "decimal.discount",
    "decimal.ratio",
    "decimal.probability",
}

ALONE = {
    "User.id": "a user's id is any text",
    "Receipt.purchase": "a receipt has lines, a purchase may be listed without them",
}
"""Fields that have a rule of their own though others have their name, and why."""


def is_id(name: str, field: Any) -> bool:
    last = field.name
    named = last in {"id", "ids"} or last.endswith(("_id", "_ids"))
    is_users = last == "user_id" or name == "User.id"
    return named and not is_users and name not in TEXT_IDS


@pytest.mark.parametrize("name", fields())
def test_every_field_has_a_rule_or_a_reason(name: str) -> None:
    """A new field fails here until its rule is decided, or written down that it needs none."""
    has_rule = rules_of(name).ByteSize() > 0
    assert has_rule != (name in WITHOUT_RULE)


def test_every_reason_is_of_a_field() -> None:
    """No reason outlives its field."""
    assert WITHOUT_RULE.keys() <= fields().keys()
    assert fields().keys() >= TEXT_IDS | ALONE.keys()
    assert {field.name for field in fields().values()} >= NO_NUL_NEEDED


def test_fields_of_one_name_have_the_same_rules() -> None:
    """A store_id is a store_id in an entity, an event and a request.

    Whether a field may be unset or empty is each message's own, and left out here.
    """
    found: dict[str, dict[bytes, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name in fields().keys() - ALONE.keys() - WITHOUT_RULE.keys():
        rules = type(rules_of(name)).FromString(rules_of(name).SerializeToString())
        rules.ClearField("required")
        rules.ClearField("ignore")
        if rules.HasField("repeated"):
            rules.repeated.ClearField("min_items")
        same = rules.SerializeToString(deterministic=True)
        found[fields()[name].name][same].append(name)
    assert [list(groups.values()) for groups in found.values() if len(groups) > 1] == []


@pytest.mark.parametrize("name", [name for name, field in fields().items() if is_id(name, field)])
def test_every_id_has_the_one_rule_of_ids(name: str) -> None:
    """An id is a UUID as lower-case text, wherever it stands."""
    assert text_rules(rules_of(name)).uuid
    assert cel_ids(rules_of(name)) == ["uuid.lower_case"]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, field in fields().items()
        if field.type == field.TYPE_STRING and not is_id(name, field)
    ],
)
def test_every_text_has_a_limit_and_no_nul(name: str) -> None:
    """A text has a longest length or a form, and holds no character the database cannot."""
    rules = rules_of(name)
    text = text_rules(rules)
    assert text.max_len or text.len or text.pattern
    formed = text.pattern or text.email
    assert formed or fields()[name].name in NO_NUL_NEEDED or "text.no_nul" in cel_ids(rules)


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        ("cartsnitch.type.v1.Money", MONEY_RULES),
        ("cartsnitch.type.v1.Decimal", DECIMAL_RULES),
        ("google.protobuf.Timestamp", {"timestamp.storable"}),
    ],
)
def test_every_number_and_time_says_what_its_column_holds(kind: str, allowed: set[str]) -> None:
    """Money, decimals and times have exactly one rule of digits, sign and range."""
    of_kind = {
        name: cel_ids(rules_of(name))
        for name, field in fields().items()
        if field.message_type is not None and field.message_type.full_name == kind
    }
    assert of_kind
    assert {name: ids for name, ids in of_kind.items() if len(ids) != 1} == {}
    assert {rule for ids in of_kind.values() for rule in ids} == allowed


@pytest.mark.parametrize(
    "name", [name for name, field in fields().items() if field.type == field.TYPE_ENUM]
)
def test_every_enum_is_defined_and_not_unspecified(name: str) -> None:
    """A number that this version does not know is refused, and so is none."""
    rules = rules_of(name).enum
    assert rules.defined_only
    assert list(rules.not_in) == [0]


def test_a_repeated_field_has_at_most_five_hundred_items() -> None:
    """Nothing grows a message without bound."""
    repeated = {name for name, field in fields().items() if field.is_repeated}
    limits = {name: rules_of(name).repeated.max_items for name in repeated - WITHOUT_RULE.keys()}
    assert set(limits.values()) == {100, 500}


def test_one_rule_id_is_one_rule() -> None:
    """An id means the same expression and message in every message that has it."""
    meanings: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name in fields():
        rules = rules_of(name)
        for one in [*rules.cel, *rules.repeated.items.cel]:
            meanings[one.id].add((one.expression, one.message))
    assert {rule: many for rule, many in meanings.items() if len(many) > 1} == {}


def test_the_contract_was_read() -> None:
    """The descriptors above are those of the whole contract."""
    assert {"Store", "Purchase", "Envelope", "RecordPurchaseRequest", "Money"} <= {
        message.name for message in messages()
    }
