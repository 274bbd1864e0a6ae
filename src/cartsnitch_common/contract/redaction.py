"""Messages for people who debug: with every personal field blotted out.

A field is personal when the contract says ``debug_redact``. The Python runtime of
protobuf reads that option and does nothing about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.contract.json_form import to_json_value

if TYPE_CHECKING:
    from google.protobuf.message import Message

BLOT: Final = "[personal]"
"""What stands in the place of a personal value."""


def redacted(message: Message) -> dict[str, Any]:
    """The JSON form as Python values, by proto names, without what is personal.

    Args:
        message: Any message. An unknown field of it, which a newer version may hold to
            be personal, is not in the JSON form.
    """
    return redacted_value(to_json_value(message, proto_names=True), message.DESCRIPTOR)


def redacted_value(value: dict[str, Any], descriptor: Any) -> dict[str, Any]:
    """The same with a JSON form that is there already.

    Args:
        value: A message's JSON form as Python values, by proto names.
        descriptor: The message's.
    """
    return {name: _field(item, descriptor.fields_by_name[name]) for name, item in value.items()}


def _field(value: Any, field: Any) -> Any:
    if field.GetOptions().debug_redact:
        return BLOT
    if isinstance(value, list):
        return [_single(item, field) for item in value]
    return _single(value, field)


def _single(value: Any, field: Any) -> Any:
    # A Timestamp's JSON form is a text, and no object with its fields.
    return redacted_value(value, field.message_type) if isinstance(value, dict) else value
