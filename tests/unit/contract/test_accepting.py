from __future__ import annotations

import base64
import inspect
import itertools
import json
import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cartsnitch.catalog.v1 import Store
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.contract import check
from cartsnitch_common.contract.accepting import acceptance, is_flat, why_unknown
from cartsnitch_common.contract.expressions import find_condition
from cartsnitch_common.contract.rules import _validator
from cartsnitch_common.convert import MAPPINGS, to_message
from cartsnitch_common.errors import InvalidFieldError
from tests.arbitrary import message_classes, messages
from tests.field_rules import fields, message_rules, rules_of
from tests.field_rules import messages as sent_messages
from tests.sound import put, sound, sound_value
from tests.strategies import any_parents, values_of

CLASSES = message_classes()
SENT = {name: kind for name, kind in CLASSES.items() if not name.startswith("cartsnitch.options")}
GOLDEN = sorted((Path(__file__).parents[2] / "golden").rglob("*.json"))

# Right, almost right and wrong, for every rule of a text that the contract has.
NEAR_TEXTS = [
    *("", "\x00", "a\x00b", "\n", "x" * 16, "x" * 17, "x" * 128, "x" * 129, "x" * 500, "x" * 501),
    *("\u00e9" * 64, "\u00e9" * 65, "\u0660", "\U0001f34c" * 32, "\U0001f34c" * 33),
    "01990000-0000-7000-8000-00000000000a",
    "01990000-0000-7000-8000-00000000000A",
    "01990000-0000-7000-8000-00000000000a\n",
    "01990000-0000-7000-8000-00000000000",
    "019900000000700080000000000000aa",
    "\u0660" * 8 + "-0000-7000-8000-00000000000a",
    *("ada@parent.example", "a b@c.example", "ada@", "@c", "a@-c.example", "A+b@c", "a@b..c"),
    *(
        "USD",
        "usd",
        "EUR",
        "USD\n",
        "0",
        "-0",
        "0.0",
        "-0.00",
        "1.5",
        "01",
        "1.",
        ".5",
        "+1",
        "1e3",
    ),
    *("0.0001", "0.00010000", "0.00001", "1.0000", "1.0001", "100", "100.0", "100.01", "99.999"),
    *("123456789", "1234567890", "12345678901", "999999999999999999", "0.1234567890", "-1.234"),
    *(
        "0.120",
        "0.1230",
        "1.2345",
        "4011",
        "40111",
        "401112",
        "036000291452",
        "4011\n",
        "\u0664011",
    ),
    *("https://a.example/\u00e9", "https://a", "https://", "ftp://a", "http://a b", "https://a\n"),
    *(
        "MI",
        "mi",
        "MIX",
        "48103",
        "48103-1234",
        "48103-",
        "cartsnitch.a",
        "cartsnitch.",
        "api",
        "Api",
    ),
    "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "00-" + "A" * 32 + "-" + "b" * 16 + "-01",
]
NEAR_WHOLE = [
    *(0, 1, -1, 2, 3, 4, 77, 499, 500, 501, 999, 1000, 10_000, 99_999, 100_000, -100_000),
    *(9_999_999, 10_000_000, -10_000_000, 490_000_000, 999_900_000, 990_000_000, 999_999_000),
    *(999_999_999, 1_000_000_000, -999_999_999, -1_000_000_000),
]
NEAR_SECONDS = [-62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800]
NEAR_FLOATS = [0.0, -0.0, 90.0, 90.00001, -90.0, 180.0, 180.1, 1e308, float("inf"), float("nan")]


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
        for value in _candidates(field):
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
        names = sorted(set(re.findall(r"this\.(\w+)", rule.expression)) & set(_names(kind)))
        each = [[_field(kind, name), _candidates(_field(kind, name))] for name in names]
        for _ in range(3000):
            message = kind()
            message.CopyFrom(start)
            for field, values in each:
                put(message, field, chance.choice(values))
            if accepts(message):
                assert keeps_every_rule(message), message


def _names(kind: Any) -> list[str]:
    return [field.name for field in kind.DESCRIPTOR.fields]


def _field(kind: Any, name: str) -> Any:
    return kind.DESCRIPTOR.fields_by_name[name]


def _candidates(field: Any) -> list[Any]:
    """Values near every edge of a field; None is unset."""
    if field.type == FieldDescriptor.TYPE_MESSAGE and is_flat(field.message_type):
        kind = message_factory.GetMessageClass(field.message_type)
        parts = [_scalars(part) for part in field.message_type.fields]
        values = [None, kind(), *_combined(kind, parts)]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        values = [None, message_factory.GetMessageClass(field.message_type)()]
    else:
        values = [None, *_scalars(field)]
    if not field.is_repeated:
        return values
    some = [value for value in values if value is not None]
    sizes = [0, 1, 2, 100, 101, 500, 501]
    right = sound_value(field.containing_type.name, field)
    numbered = [[f"{number:05}" for number in range(size)] for size in sizes]
    texts = numbered if field.type == FieldDescriptor.TYPE_STRING else []
    return [[one] for one in some] + [right * size for size in sizes] + texts


def _combined(kind: Any, parts: list[list[Any]]) -> list[Any]:
    names = _names(kind)
    every = math.prod(len(part) for part in parts)
    if every <= 1500:
        chosen = itertools.product(*parts)
    else:
        chance = random.Random(names[0])  # noqa: S311 - the same values each time
        chosen = (tuple(chance.choice(part) for part in parts) for _ in range(1500))
    return [kind(**dict(zip(names, one, strict=True))) for one in chosen]


def _scalars(field: Any) -> list[Any]:
    match (field.type, field.name):
        case (_, "currency_code"):
            return ["USD", "USD", "USD", "EUR", "usd", ""]
        case (_, "month"):
            return [0, 1, 2, 3, 4, 6, 9, 11, 12, 13]
        case (_, "day"):
            return [0, 1, 27, 28, 29, 30, 31, 32]
        case (_, "year"):
            return [0, 1, 1900, 2000, 2023, 2024, 9999, 10_000]
        case (_, "units"):
            return [*(-1, 0, 1, 2, 99_999_999, 100_000_000, 9_999_999_999, 10_000_000_000)]
        case (_, "seconds"):
            return [0, 1, -1, *NEAR_SECONDS]
        case (FieldDescriptor.TYPE_STRING, _):
            return NEAR_TEXTS
        case (FieldDescriptor.TYPE_DOUBLE, _):
            return NEAR_FLOATS
        case (FieldDescriptor.TYPE_BOOL, _):
            return [True, False]
        case _:
            return NEAR_WHOLE


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


def test_a_broken_rule_is_still_worded_by_protovalidate() -> None:
    """The error is that of the rule's own text and id."""
    with pytest.raises(InvalidFieldError) as caught:
        check(Store(id="X"))
    assert (caught.value.field, caught.value.rule_id) == ("id", "string.uuid")
