from __future__ import annotations

import json

from google.protobuf.descriptor import FieldDescriptor

from cartsnitch.account.v1 import User
from cartsnitch.purchase.v1 import BatchGetPurchasesResponse
from cartsnitch_common.contract import to_json_value
from cartsnitch_common.contract.redaction import BLOT, redacted
from tests.arbitrary import message_classes
from tests.event_payloads import all_payloads


def test_personal_fields_are_blotted_out_at_any_depth() -> None:
    """A field with debug_redact shows nothing of its value; the others are as they were."""
    user = User(id="u1", email="jane@example.org", display_name="Jane")
    assert "jane" not in json.dumps(redacted(user)).lower()
    assert redacted(user)["email"] == BLOT
    assert redacted(user)["id"] == "u1"
    response = BatchGetPurchasesResponse()
    purchase = response.purchases.add(receipt_id="0042", source_url="https://example.org/jane")
    purchase.items.add(product_name_raw="OATS")
    (shown,) = redacted(response)["purchases"]
    assert shown["source_url"] == BLOT
    assert shown["receipt_id"] == "0042"
    assert shown["items"][0]["product_name_raw"] == "OATS"


def test_a_message_without_personal_fields_is_shown_whole() -> None:
    """Nothing else is left out: the events of today are their JSON form."""
    for payload in all_payloads().values():
        assert redacted(payload) == to_json_value(payload, proto_names=True)


def test_the_contract_has_personal_fields() -> None:
    """The option is read from the descriptors, where there are some."""
    fields: list[FieldDescriptor] = [
        field for kind in message_classes().values() for field in kind.DESCRIPTOR.fields
    ]
    assert sum(field.GetOptions().debug_redact for field in fields) >= 3
