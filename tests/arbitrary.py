"""Messages of any type, generated field by field from their descriptors."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st

STUBS = Path(__file__).parents[1] / "src/cartsnitch"
TIMESTAMP = "google.protobuf.Timestamp"
# What a datetime holds exactly: whole microseconds of the years 1 to 9999.
SECONDS = st.integers(-62_135_596_800, 253_402_300_799)
MICROSECONDS = st.integers(0, 999_999)

_WHOLE = {
    FieldDescriptor.TYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: st.integers(0, 2**64 - 1),
}


def message_classes() -> dict[str, type[Message]]:
    """Every message of the contract, by its full name."""
    found: dict[str, type[Message]] = {}
    for path in sorted(STUBS.glob("*/v*/*_pb2.py")):
        name = ".".join(("cartsnitch", *path.relative_to(STUBS).with_suffix("").parts))
        file = importlib.import_module(name).DESCRIPTOR
        pending = list(file.message_types_by_name.values())
        while pending:
            descriptor = pending.pop()
            pending += descriptor.nested_types
            found[descriptor.full_name] = GetMessageClass(descriptor)
    return found


def message(full_name: str) -> type[Message]:
    return GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(full_name))


def messages(descriptor: Any, depth: int = 4) -> st.SearchStrategy[Any]:
    """Messages with any values that their types allow, whatever the rules say."""
    kind: Any = GetMessageClass(descriptor)
    if descriptor.full_name == TIMESTAMP:
        return st.builds(kind, seconds=SECONDS, nanos=MICROSECONDS.map(lambda us: us * 1000))
    required: dict[str, Any] = {}
    choices: list[dict[str, Any]] = [{}]
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if field.type == FieldDescriptor.TYPE_MESSAGE and depth == 0:
            continue
        if oneof is not None and len(oneof.fields) > 1:
            choices.append({field.name: _values(field, depth)})
        else:
            required[field.name] = _values(field, depth)
    one = st.sampled_from(choices)
    return one.flatmap(
        lambda case: st.fixed_dictionaries(case, optional=required).map(lambda v: kind(**v))
    )


def _values(field: Any, depth: int) -> st.SearchStrategy[Any]:
    assert not (field.message_type and field.message_type.GetOptions().map_entry)
    single = _single(field, depth)
    return st.lists(single, max_size=3) if field.is_repeated else single


def _single(field: Any, depth: int) -> st.SearchStrategy[Any]:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            return messages(field.message_type, depth - 1)
        case FieldDescriptor.TYPE_ENUM:
            known = [value.number for value in field.enum_type.values]
            return st.sampled_from(known) | st.integers(-(2**31), 2**31 - 1)
        case FieldDescriptor.TYPE_STRING:
            return st.text(max_size=20)
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=20)
        case FieldDescriptor.TYPE_BOOL:
            return st.booleans()
        case FieldDescriptor.TYPE_DOUBLE:
            return st.floats()
        case FieldDescriptor.TYPE_FLOAT:
            return st.floats(width=32)
        case number:
            return _WHOLE[number]  # a KeyError: a type that the contract has not had so far
