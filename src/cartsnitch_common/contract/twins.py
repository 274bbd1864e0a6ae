"""Twins of the contract's messages, in which a price is the bytes that it is sent as.

A field that holds a message and one that holds bytes are the same on the wire. Read
through its twin, a message gives each Money, Date and Decimal in one step, as a key to
what was made of it before; read as itself, it takes a step for each part of each. One that
is unset reads as UNSET, which costs nothing; to ask for it costs more than to read a field.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import DESCRIPTOR as TIMESTAMP

if TYPE_CHECKING:
    from google.protobuf.message import Message

_SCALARS: Final = "cartsnitch.type."
_PACKAGE: Final = "cartsnitch.twin"

UNSET: Final = b"\xff"
"""What an unset price, date or number reads as: the bytes of no message."""


def is_opaque(field: Any) -> bool:
    """Whether a field's message is bytes in the twin: the contract's own scalars are."""
    kind = field.message_type
    return kind is not None and kind.full_name.startswith(_SCALARS) and not field.is_repeated


@cache
def twin_of(descriptor: Any) -> type[Message]:
    """The class of a message's twin. What one writes, the other reads."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(TIMESTAMP.serialized_pb)
    file = descriptor_pb2.FileDescriptorProto(
        name="twin.proto", package=_PACKAGE, syntax="proto2", dependency=[TIMESTAMP.name]
    )  # proto2, for the defaults
    _add(file, descriptor)
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName(f"{_PACKAGE}.{descriptor.name}")
    )


def _add(file: descriptor_pb2.FileDescriptorProto, descriptor: Any) -> None:
    """Add a message's twin, and those of the messages in it."""
    if any(known.name == descriptor.name for known in file.message_type):
        return
    twin = file.message_type.add(name=descriptor.name)
    for field in descriptor.fields:
        made = twin.field.add(name=field.name, number=field.number, type=field.type)
        made.label = made.LABEL_REPEATED if field.is_repeated else made.LABEL_OPTIONAL
        if is_opaque(field):
            made.type = FieldDescriptor.TYPE_BYTES  # type: ignore[assignment] # its number
            made.default_value = "".join(f"\\{byte:03o}" for byte in UNSET)
        elif field.type == FieldDescriptor.TYPE_ENUM:
            # Numbers are what is read; an enum of another pool would bring its names along.
            made.type = FieldDescriptor.TYPE_INT32  # type: ignore[assignment]
        elif field.message_type is not None and field.message_type.file.name == TIMESTAMP.name:
            made.type_name = f".{field.message_type.full_name}"
        elif field.message_type is not None:
            made.type_name = f".{_PACKAGE}.{field.message_type.name}"
            _add(file, field.message_type)
