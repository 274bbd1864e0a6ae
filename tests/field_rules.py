"""The rules of every field, read from the descriptors, and what they say of a value.

The stubs hold the rules as raw bytes, because ``validate.proto`` is cut out of
them. A pool of the tests' own knows it and reads them again, as the generator does.
"""

from __future__ import annotations

import importlib
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

from cartsnitch_common.contract import violations

if TYPE_CHECKING:
    from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parents[1]
PROTOS = sorted(path.relative_to(ROOT / "proto") for path in (ROOT / "proto").rglob("*.proto"))
NOT_SENT = "cartsnitch/options/"
"""Options stand in the descriptors; no message of them is ever sent."""


@cache
def pool() -> descriptor_pool.DescriptorPool:
    """Every file of the contract in a pool that knows the rules' extensions."""
    known = descriptor_pool.DescriptorPool()
    for file in _validate_proto().file:
        known.Add(file)
    for path in PROTOS:
        stub = importlib.import_module(".".join(path.with_suffix("").parts) + "_pb2")
        _add(known, stub.DESCRIPTOR)
    return known


def _validate_proto() -> descriptor_pb2.FileDescriptorSet:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "validate.binpb"
        failed = protoc.main(
            [
                "protoc",
                f"-I{ROOT / 'third_party/protovalidate'}",
                f"-I{files('grpc_tools') / '_proto'}",
                "--include_imports",
                f"--descriptor_set_out={target}",
                "buf/validate/validate.proto",
            ]
        )
        assert not failed, "scripts/fetch-protos brings validate.proto"
        return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())


def _add(known: descriptor_pool.DescriptorPool, file: Any) -> None:
    try:
        known.FindFileByName(file.name)
    except KeyError:
        for needed in file.dependencies:
            _add(known, needed)
        known.Add(descriptor_pb2.FileDescriptorProto.FromString(file.serialized_pb))


@cache
def messages() -> tuple[Any, ...]:
    """The descriptor of every message that is sent."""
    names = [path.as_posix() for path in PROTOS if not path.as_posix().startswith(NOT_SENT)]
    found = [pool().FindFileByName(name).message_types_by_name.values() for name in names]
    return tuple(message for many in found for message in many)


@cache
def fields() -> dict[str, Any]:
    """The descriptor of every field that is sent, by message and field: ``"Store.name"``."""
    return {
        f"{message.name}.{field.name}": field for message in messages() for field in message.fields
    }


def _options(described: Any, kind: str, extension: str) -> Any:
    options = message_factory.GetMessageClass(pool().FindMessageTypeByName(kind)).FromString(
        described.GetOptions().SerializeToString()
    )
    return options.Extensions[pool().FindExtensionByName(extension)]


@cache
def rules_of(name: str) -> Any:
    """The ``buf.validate.FieldRules`` of a field, empty where it has none."""
    return _options(fields()[name], "google.protobuf.FieldOptions", "buf.validate.field")


def message_rules(message: Any) -> Any:
    """The ``buf.validate.MessageRules`` of a message's descriptor."""
    return _options(message, "google.protobuf.MessageOptions", "buf.validate.message")


def cel_ids(rules: Any) -> list[str]:
    """The ids of a field's or message's own rules, those of its items too."""
    items = rules.repeated.items if hasattr(rules, "repeated") else None
    return [rule.id for rule in rules.cel] + ([rule.id for rule in items.cel] if items else [])


def text_rules(rules: Any) -> Any:
    """The rules of a text, or of each text of a repeated field."""
    return rules.repeated.items.string if rules.HasField("repeated") else rules.string


def broken_by(message: Message) -> list[tuple[str, str | None]]:
    """The field's path and the rule's id of every rule that a message breaks."""
    return [(found.field, found.rule_id) for found in violations(message)]
