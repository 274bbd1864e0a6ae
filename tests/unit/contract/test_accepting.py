from __future__ import annotations

import base64
import inspect
import json
import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cartsnitch.catalog.v1 import Store
from cartsnitch.event.v1 import PricesUpdated
from cartsnitch.pricing.v1 import BatchGetLatestPricesResponse, PriceObservation
from cartsnitch_common.contract import check
from cartsnitch_common.contract.accepting import acceptance, why_unknown
from cartsnitch_common.contract.expressions import find_condition
from cartsnitch_common.contract.rules import _validator
from cartsnitch_common.convert import MAPPINGS, to_message
from cartsnitch_common.errors import InvalidFieldError
from tests.arbitrary import message_classes, messages
from tests.field_rules import fields, message_rules, rules_of
from tests.field_rules import messages as sent_messages
from tests.near import candidates, names_of
from tests.sound import put, sound
from tests.strategies import any_parents, values_of

CLASSES = message_classes()
SENT = {name: kind for name, kind in CLASSES.items() if not name.startswith("cartsnitch.options")}
GOLDEN = sorted((Path(__file__).parents[2] / "golden").rglob("*.json"))


def accepts(message: Any) -> bool:
    accept = acceptance(message.DESCRIPTOR)
    return accept is not None and accept(message)


def keeps_every_rule(message: Any) -> bool:
    """What protovalidate says, asked directly."""
    return not _validator().collect_violations(message)


@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES.keys())
def test_every_rule_is_known(kind: Any) -> None:
    """No message type is left to protovalidate unseen; a new rule fails here first."""
    assert why_unknown(kind.DESCRIPTOR) is None


def test_every_rule_in_cel_is_known_by_its_whole_text() -> None:
    """An expression that changes is not taken for the one that was proven."""
    for name in fields():
        rules = rules_of(name)
        for rule in [*rules.cel, *rules.repeated.items.cel]:
            assert find_condition(rule.id, rule.expression) is not None, rule.id
            assert find_condition(rule.id, f"{rule.expression} ") is None
    for message in sent_messages():
        for rule in message_rules(message).cel:
            assert find_condition(rule.id, rule.expression) is not None, rule.id


@pytest.mark.parametrize("kind", SENT.values(), ids=SENT.keys())
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_accepted_keeps_every_rule(kind: Any, data: st.DataObject) -> None:
    """Whatever a message holds: accepted means that protovalidate finds nothing."""
    message = data.draw(messages(kind.DESCRIPTOR))
    if accepts(message):
        assert keeps_every_rule(message)


@pytest.mark.parametrize("kind", SENT.values(), ids=SENT.keys())
def test_what_is_almost_right_is_never_accepted(kind: Any) -> None:
    """Each field of a sound message over the edges of its rules: accepted is always right."""
    start = sound(kind.DESCRIPTOR)
    for field in kind.DESCRIPTOR.fields:
        for value in candidates(field):
            message = kind()
            message.CopyFrom(start)
            put(message, field, value)
            if accepts(message):
                assert keeps_every_rule(message), message


WITH_OWN_RULE = [message for message in sent_messages() if message_rules(message).cel]


@pytest.mark.parametrize("described", WITH_OWN_RULE, ids=lambda described: described.full_name)
def test_what_is_almost_right_together_is_never_accepted(described: Any) -> None:
    """Fields that a rule binds together, over the edges of each at once."""
    kind = CLASSES[described.full_name]
    start = sound(kind.DESCRIPTOR)
    chance = random.Random(described.full_name)  # noqa: S311 - the same values each time
    for rule in message_rules(described).cel:
        names = sorted(set(re.findall(r"this\.(\w+)", rule.expression)) & set(names_of(kind)))
        each = [
            [kind.DESCRIPTOR.fields_by_name[name], candidates(kind.DESCRIPTOR.fields_by_name[name])]
            for name in names
        ]
        for _ in range(1500):
            message = kind()
            message.CopyFrom(start)
            for field, values in each:
                put(message, field, chance.choice(values))
            if accepts(message):
                assert keeps_every_rule(message), message


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_vectors_are_told_apart(path: Path) -> None:
    """A vector that breaks a rule is not accepted, one that breaks none is."""
    vector = json.loads(path.read_text())
    message = CLASSES[path.parent.name].FromString(base64.b64decode(vector["binary"]))
    assert accepts(message) == (not vector["breaks"])


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda mapping: mapping.row.__name__)
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_rows_are_accepted_without_protovalidate(mapping: Any, data: st.DataObject) -> None:
    """What a table may hold takes the fast way: it is not only right but also known to be."""
    assert accepts(to_message(mapping.row(**data.draw(values_of(mapping.row, any_parents())))))


def _with_rule(change: Any) -> Any:
    """PriceObservation in a pool of its own, with its options changed."""
    pool = descriptor_pool.DescriptorPool()

    def add(one: Any) -> None:
        proto = descriptor_pb2.FileDescriptorProto.FromString(one.serialized_pb)
        for dependency in one.dependencies:
            add(dependency)
        if proto.name == PriceObservation.DESCRIPTOR.file.name:
            change(proto.message_type[0])
        pool.AddSerializedFile(proto.SerializeToString())

    add(PriceObservation.DESCRIPTOR.file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(PriceObservation.DESCRIPTOR.full_name)
    )


# FieldRules, field 1159 of the options: a rule of a number that no version has yet.
UNKNOWN_RULE = b"\xba\x48\x04\xa0\x7d\xac\x02"


def test_uuids_that_are_asked_together_are_told_apart() -> None:
    """A digit that one UUID has too many is none that another lacks, nor is it a space."""
    ids = ("id", "normalized_product_id", "store_id", "purchase_item_id")
    uuid = "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e60"
    right: Any = sound(PriceObservation.DESCRIPTOR)
    right.source = 1
    for name in ids:
        setattr(right, name, uuid)
    assert accepts(right)
    for first, second in pairwise(ids):
        for left, rest in (
            (uuid + "0", uuid[1:]),
            (uuid[:-1], "0" + uuid),
            (f"{uuid} {uuid}", ""),
            (f"{uuid} ", uuid),
            (uuid.upper(), uuid),
            (uuid.replace("-", "0"), uuid),
            (uuid, "\u0660" + uuid[1:]),  # a digit elsewhere
        ):
            wrong: Any = PriceObservation()
            wrong.CopyFrom(right)
            setattr(wrong, first, left)
            setattr(wrong, second, rest)
            assert not accepts(wrong), (first, left, rest)


def test_an_unknown_rule_is_left_to_protovalidate() -> None:
    """A rule of a later version of buf.validate makes the whole type a matter of protovalidate."""

    def later(message: Any) -> None:
        field = message.field[0]
        options = field.options.SerializeToString() + UNKNOWN_RULE
        field.options.CopyFrom(descriptor_pb2.FieldOptions.FromString(options))

    changed = _with_rule(later)
    assert acceptance(changed.DESCRIPTOR) is None
    assert "later version" in str(why_unknown(changed.DESCRIPTOR))
    assert acceptance(_with_rule(lambda _: None).DESCRIPTOR) is not None


def test_a_changed_expression_is_left_to_protovalidate() -> None:
    """A rule in CEL that says something else under its old id is not taken for the old one."""

    def changed(message: Any) -> None:
        options = message.options.SerializeToString().replace(
            b"this.source == 1", b"this.source == 2"
        )
        message.options.CopyFrom(descriptor_pb2.MessageOptions.FromString(options))

    assert acceptance(_with_rule(changed).DESCRIPTOR) is None


def test_the_generated_code_can_be_read() -> None:
    """A debugger and a traceback find the lines of the generated function."""
    accept = acceptance(Store.DESCRIPTOR)
    assert accept is not None
    assert "message.website_url" in inspect.getsource(accept)


def test_a_list_is_copied_only_where_a_rule_bounds_it() -> None:
    """However many items somebody sends, no more of them are objects than a rule allows."""
    for kind, copied in ((PricesUpdated, True), (BatchGetLatestPricesResponse, False)):
        accept = acceptance(kind.DESCRIPTOR)
        assert accept is not None
        source = inspect.getsource(accept)
        assert "in observations_" in source
        assert ("in observations_[:]" in source) == copied


def test_a_broken_rule_is_still_worded_by_protovalidate() -> None:
    """The error is that of the rule's own text and id."""
    with pytest.raises(InvalidFieldError) as caught:
        check(Store(id="X"))
    assert (caught.value.field, caught.value.rule_id) == ("id", "string.uuid")
