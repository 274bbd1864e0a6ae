"""The ``buf.validate`` options of fields and messages, as messages to read.

The stubs hold them as raw bytes, because ``validate.proto`` is cut out of them.
protovalidate carries that file; a pool of our own reads it, so that nothing is
registered a second time where a service brings its own copy.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from cartsnitch_common.errors import MissingExtraError

_FIELD: Final = "buf.validate.field"
_MESSAGE: Final = "buf.validate.message"
_ONEOF: Final = "buf.validate.oneof"


def field_rules(field: Any) -> Any:
    """The ``buf.validate.FieldRules`` of a field's descriptor; empty where it has none."""
    return _option(field, "FieldOptions", _FIELD)


def message_rules(message: Any) -> Any:
    """The ``buf.validate.MessageRules`` of a message's descriptor."""
    return _option(message, "MessageOptions", _MESSAGE)


def oneof_rules(oneof: Any) -> Any:
    """The ``buf.validate.OneofRules`` of a oneof's descriptor."""
    return _option(oneof, "OneofOptions", _ONEOF)


def _option(described: Any, kind: str, extension: str) -> Any:
    options: Any = message_factory.GetMessageClass(
        _pool().FindMessageTypeByName(f"google.protobuf.{kind}")
    ).FromString(described.GetOptions().SerializeToString())
    return options.Extensions[_pool().FindExtensionByName(extension)]


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    try:
        from protovalidate import ViolationPb  # noqa: PLC0415 - loads when it is needed
    except ImportError:
        raise MissingExtraError("validate", "protovalidate") from None
    file = descriptor_pb2.FileDescriptorProto.FromString(ViolationPb.desc().file.proto.to_binary())
    pool = descriptor_pool.DescriptorPool()
    for name in file.dependency:
        pool.AddSerializedFile(_well_known(name))
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _well_known(name: str) -> bytes:
    # Loads them into the default pool, where they may not have been needed so far.
    from google.protobuf import duration_pb2, field_mask_pb2, timestamp_pb2  # noqa: PLC0415

    known = (descriptor_pb2, duration_pb2, field_mask_pb2, timestamp_pb2)
    file: bytes = next(one.DESCRIPTOR.serialized_pb for one in known if one.DESCRIPTOR.name == name)
    return file
