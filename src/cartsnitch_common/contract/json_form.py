"""Messages from and to their JSON form, with errors that name the field.

protobuf's own parser reads the values. It accepts a float where it happens to be
whole and reports other misfits by their place in the parser's code, so the
shape is checked first, field by field, by what the message declares.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor

from cartsnitch_common.errors import InvalidFieldError, NotJsonError

if TYPE_CHECKING:
    from google.protobuf.message import Message

_RFC3339: Final = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_WHOLE: Final = re.compile(r"-?\d{1,20}", re.ASCII)
_DEPTH: Final = 32
_INTEGERS: Final = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_FLOATS: Final = {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}
_KINDS: Final = {
    type(None): "null",
    bool: "true or false",
    float: "a float",
    int: "a number",
    str: "text",
    list: "a list",
}
_EXAMPLES: Final = {
    "cartsnitch.type.v1.Money": '{"currencyCode": "USD", "units": "3", "nanos": 490000000}',
    "cartsnitch.type.v1.Decimal": '{"value": "0.755"}',
    "cartsnitch.type.v1.Date": '{"year": 2026, "month": 3, "day": 10}',
}
"""What to write instead, where a plain number or text is the likely mistake."""


def from_json[M: Message](kind: type[M], text: str | bytes) -> M:
    """Read a message from JSON text.

    Args:
        kind: The class of the message.
        text: JSON with the contract's JSON names or its proto names.

    Raises:
        NotJsonError: The text is not JSON.
        InvalidFieldError: A field is unknown, given twice or holds what it may
            not. The rules of the contract are not checked here.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(text, object_pairs_hook=_with_repeats)
    except json.JSONDecodeError as error:
        reason = f"{error.msg.lower()} in line {error.lineno}, column {error.colno}"
        raise NotJsonError(reason) from None
    except UnicodeDecodeError:
        raise NotJsonError("the text is not UTF-8") from None
    except RecursionError:
        raise NotJsonError("it is nested too deeply") from None
    except ValueError as error:  # an integer of thousands of digits
        raise NotJsonError(str(error).partition(":")[0].lower()) from None
    return from_json_value(kind, value)


def from_json_value[M: Message](kind: type[M], value: Any) -> M:
    """Read a message from decoded JSON; see :func:`from_json`."""
    message = kind()
    _check_message(value, message.DESCRIPTOR, "", 0)
    try:
        json_format.ParseDict(value, message)
    except json_format.ParseError as error:
        # The shape was checked above: what is left is a number or a date out of range.
        path = ".".join(re.findall(r"Failed to parse (\w+) field", str(error)))
        raise InvalidFieldError(path, "holds a value out of range") from None
    return message


def to_json_value(message: Message, *, proto_names: bool = False) -> dict[str, Any]:
    """The JSON form as Python values.

    Args:
        message: Any message.
        proto_names: ``unit_price`` instead of ``unitPrice``.
    """
    value: dict[str, Any] = json_format.MessageToDict(
        message, preserving_proto_field_name=proto_names
    )
    return value


def to_json(message: Message, *, proto_names: bool = False) -> str:
    """The JSON form as text on one line."""
    return json.dumps(to_json_value(message, proto_names=proto_names), ensure_ascii=False)


class _Repeated(dict[str, Any]):
    """An object that gives a name twice; refused where its path is known."""

    twice: str


def _with_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    repeated = _Repeated(found)
    repeated.twice = next(name for name in names if names.count(name) > 1)
    return repeated


def _check_message(value: Any, descriptor: Any, path: str, depth: int) -> None:
    if descriptor.full_name == "google.protobuf.Timestamp":
        return _check_timestamp(value, path)
    if not isinstance(value, dict):
        example = _EXAMPLES.get(descriptor.full_name)
        hint = f" such as {example}" if example else ""
        lost = ": a float loses cents" if example and isinstance(value, float) else ""
        raise InvalidFieldError(path, f"must be an object{hint}, not {_kind_of(value)}{lost}")
    if depth > _DEPTH:
        raise InvalidFieldError(path, "is nested too deeply")
    if isinstance(value, _Repeated):
        raise InvalidFieldError(f"{path}.{value.twice}".lstrip("."), "is given twice")
    names = {field.json_name: field for field in descriptor.fields}
    names |= {field.name: field for field in descriptor.fields}
    seen = set()
    for name, item in value.items():
        here = f"{path}.{name}" if path else name
        field = names.get(name)
        if field is None:
            raise InvalidFieldError(here, f"is not a field of {descriptor.name}")
        if field.number in seen:
            raise InvalidFieldError(here, "is given twice")
        seen.add(field.number)
        if item is not None:
            _check_field(item, field, here, depth)
    return None


def _check_field(value: Any, field: Any, path: str, depth: int) -> None:
    if not field.is_repeated:
        return _check_single(value, field, path, depth)
    if not isinstance(value, list):
        raise InvalidFieldError(path, f"must be a list, not {_kind_of(value)}")
    for index, item in enumerate(value):
        _check_single(item, field, f"{path}[{index}]", depth)
    return None


def _check_single(value: Any, field: Any, path: str, depth: int) -> None:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        _check_message(value, field.message_type, path, depth + 1)
    elif kind == FieldDescriptor.CPPTYPE_ENUM:
        _check_enum(value, field, path)
    elif kind == FieldDescriptor.CPPTYPE_STRING:
        _check_text(value, path)
    elif kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise InvalidFieldError(path, f"must be true or false, not {_kind_of(value)}")
    elif kind in _INTEGERS:
        _check_whole(value, path)
    elif kind in _FLOATS and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise InvalidFieldError(path, f"must be a number, not {_kind_of(value)}")
    elif kind in _FLOATS and not _is_finite(value):
        raise InvalidFieldError(path, "must be a finite number")


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # of an int that no float is as large as
        return False


def _check_text(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise InvalidFieldError(path, f"must be text in quotes, not {_kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidFieldError(path, "holds half a character (an unpaired surrogate)") from None
    if "\x00" in value:
        raise InvalidFieldError(path, "holds a NUL character")


def _check_whole(value: Any, path: str) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole and not (isinstance(value, str) and _WHOLE.fullmatch(value)):
        lost = ": a float loses cents" if isinstance(value, float) else ""
        raise InvalidFieldError(path, f"must be a whole number, not {_kind_of(value)}{lost}")


def _check_enum(value: Any, field: Any, path: str) -> None:
    values = field.enum_type.values_by_name
    # With half a character protobuf's lookup leaves an exception behind for whatever comes next.
    if isinstance(value, str) and value.isascii() and value in values:
        return
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and value in field.enum_type.values_by_number:
        return
    known = ", ".join(name for name, item in values.items() if item.number)
    raise InvalidFieldError(path, f"must be one of {known}")


def _check_timestamp(value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise InvalidFieldError(path, f"must be a time in quotes, not {_kind_of(value)}")
    if not _RFC3339.fullmatch(value):
        raise InvalidFieldError(
            path, 'must be a time with a zone such as "2026-03-10T14:30:00Z" (RFC 3339)'
        )


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "an object")
