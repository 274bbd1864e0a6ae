"""Where two messages of one type differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message


def first_difference(one: Message, other: Message) -> str | None:
    """The path of the first field in which two messages of one type differ.

    Order: that of declaration. Elements of a list are compared in pairs, and their
    own fields looked into; any other message is named as a whole, as is a list of
    another length. Unset and empty are two values.

    Returns:
        A path such as ``items[1].upc``; None when they are equal.
    """
    fields: Any = one.DESCRIPTOR.fields
    for field in fields:
        left, right = getattr(one, field.name), getattr(other, field.name)
        if field.is_repeated:
            for index, (a, b) in enumerate(zip(left, right, strict=False)):
                if a != b:
                    path = f"{field.name}[{index}]"
                    inner = first_difference(a, b) if field.message_type is not None else None
                    return f"{path}.{inner}" if inner else path
            if len(left) != len(right):
                return str(field.name)
        elif left != right or (
            field.has_presence and one.HasField(field.name) != other.HasField(field.name)
        ):
            return str(field.name)
    return None
