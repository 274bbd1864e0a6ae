"""Pydantic's messages in the contract's JSON form, for FastAPI.

By itself pydantic renders a message of ``cartsnitch_common.pydantic`` with snake_case
names, numbers for enums and 64-bit integers, and null for what is unset; clients of
the contract read none of that. :data:`Canonical` is a message in the JSON form that every
other language has, in the request, the response and the OpenAPI schema alike::

    @app.post("/purchases")
    async def record(purchase: Canonical[Purchase]) -> Canonical[Purchase]: ...

The form is read and written by the C runtime, with the same checks as
:func:`cartsnitch_common.contract.from_json`: a wrong field is a 422 with its path. The
rules of the contract are not checked here; that is
``contract.check(to_message(stubs.Purchase, purchase), json_names=True)``.
"""

from __future__ import annotations

import importlib
import re
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import betterproto2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from pydantic_core import (
    InitErrorDetails,
    PydanticCustomError,
    ValidationError,
    core_schema,
)

from cartsnitch_common.contract import from_json_value, json_path, to_json_value
from cartsnitch_common.errors import InvalidFieldError, UnmappableValueError
from cartsnitch_common.pydantic._betterproto.message_pool import default_message_pool

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from pydantic import GetCoreSchemaHandler

__all__ = ["Canonical", "CanonicalJson", "from_message", "to_message"]

_TIMESTAMP: Final = "google.protobuf.Timestamp"
# The seconds of the years 1 to 9999, which are the times that a datetime holds.
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799


def to_message[M: Message](kind: type[M], value: betterproto2.Message) -> M:
    """The message of the stubs with the same content.

    Args:
        kind: The class from ``cartsnitch``.
        value: The message of the same name from ``cartsnitch_common.pydantic``.

    Raises:
        InvalidFieldError: A field was set to what its type does not allow;
            pydantic does not look at assignments.
        TypeError: They are different messages.
    """
    _check_same(kind, type(value))
    return kind.FromString(_encode(value))


def from_message[P: betterproto2.Message](kind: type[P], message: Message) -> P:
    """The pydantic message with the same content.

    Args:
        kind: The class from ``cartsnitch_common.pydantic``.
        message: The message of the same name from ``cartsnitch``.

    Raises:
        UnmappableValueError: A time is finer than a microsecond or outside the
            years 1 to 9999: a datetime cannot hold it.
        TypeError: They are different messages.
    """
    _check_same(type(message), kind)
    _check_times(message, "")
    return kind.FromString(message.SerializeToString())


class CanonicalJson:
    """Tells pydantic to use the contract's JSON form for a message; see :data:`Canonical`."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """What pydantic reads, writes and documents in the place of the fields."""
        if not (isinstance(source, type) and issubclass(source, betterproto2.Message)):
            raise TypeError(f"one message stands in Canonical[...], not {source!r}")
        stub = _stub_of(source)

        def read(value: Any) -> betterproto2.Message:
            if isinstance(value, source):
                return value
            try:
                return from_message(source, from_json_value(stub, value))
            except UnmappableValueError as error:
                raise _as_pydantic(source, json_path(error.field), error.reason) from None
            except InvalidFieldError as error:
                raise _as_pydantic(source, error.field, error.reason) from None

        def write(value: betterproto2.Message) -> dict[str, Any]:
            return to_json_value(to_message(stub, value))

        shape = handler.generate_schema(_Shape(stub.DESCRIPTOR))
        return core_schema.no_info_plain_validator_function(
            read,
            json_schema_input_schema=shape,
            serialization=core_schema.plain_serializer_function_ser_schema(
                write, return_schema=shape
            ),
        )


_T = TypeVar("_T", bound=betterproto2.Message)

Canonical = Annotated[_T, CanonicalJson()]
"""A message of ``cartsnitch_common.pydantic`` in the contract's JSON form."""


# -- classes by their messages' names -----------------------------------------


def _name_of(kind: type[betterproto2.Message]) -> str:
    url = default_message_pool.type_to_url.get(kind)
    if url is None:
        raise TypeError(f"{kind.__name__} is no message of cartsnitch_common.pydantic")
    return url.partition("/")[2]


def _check_same(kind: type[Message], other: type[betterproto2.Message]) -> None:
    names = kind.DESCRIPTOR.full_name, _name_of(other)
    if names[0] != names[1]:
        raise TypeError(f"{names[0]} and {names[1]} are different messages")


@cache
def _stub_of(kind: type[betterproto2.Message]) -> type[Message]:
    name = _name_of(kind)
    # The import puts the context into protobuf's pool.
    importlib.import_module(name.rpartition(".")[0])
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor)


# -- values -------------------------------------------------------------------


def _encode(value: betterproto2.Message) -> bytes:
    try:
        return bytes(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join(str(step) for step in first["loc"])
        raise InvalidFieldError(path, first["msg"].lower()) from None


def _check_times(message: Message, path: str) -> None:
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        here = f"{path}.{field.name}" if path else field.name
        if not field.is_repeated:
            _check_time(value, here)
            continue
        for index, item in enumerate(value):
            _check_time(item, f"{here}[{index}]")


def _check_time(value: Any, path: str) -> None:
    if value.DESCRIPTOR.full_name != _TIMESTAMP:
        return _check_times(value, path)
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 10**9):
        raise UnmappableValueError(path, "is no time of the years 1 to 9999")
    if value.nanos % 1000:
        raise UnmappableValueError(path, "is finer than a microsecond")
    return None


def _as_pydantic(source: type[Any], field: str, reason: str) -> ValidationError:
    """Pydantic's error at the field's place, without the value: it may be personal."""
    path = [int(step) if step.isdigit() else step for step in re.findall(r"\w+", field)]
    kind = PydanticCustomError("contract", "{reason}", {"reason": reason})
    details = InitErrorDetails(type=kind, loc=tuple(path), input=None)
    return ValidationError.from_exception_data(source.__name__, [details])


# -- the JSON form as a schema ------------------------------------------------


class _Shape:
    """Stands for a message's JSON form where pydantic asks a type for its schema."""

    def __init__(self, descriptor: Any) -> None:
        self._descriptor = descriptor

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        definitions: dict[str, core_schema.CoreSchema] = {}
        shape = _shape_of(self._descriptor, definitions)
        return core_schema.definitions_schema(shape, list(definitions.values()))


def _shape_of(
    descriptor: Any, definitions: dict[str, core_schema.CoreSchema]
) -> core_schema.CoreSchema:
    """What OpenAPI says of a message; pydantic derives the schema of JSON from it."""
    if descriptor.full_name == _TIMESTAMP:
        return _text({"format": "date-time"})
    if descriptor.full_name not in definitions:
        definitions[descriptor.full_name] = {"type": "any"}  # keeps the place, for recursion
        fields = {}
        for field in descriptor.fields:
            shape = _field_shape(field, definitions)
            if field.is_repeated:
                shape = core_schema.list_schema(shape)
            fields[field.json_name] = core_schema.typed_dict_field(shape, required=False)
        definitions[descriptor.full_name] = core_schema.typed_dict_schema(
            fields,
            cls_name=descriptor.name,
            extra_behavior="forbid",
            ref=descriptor.full_name,
            metadata={
                "pydantic_js_updates": {"title": descriptor.name, "additionalProperties": False}
            },
        )
    return core_schema.definition_reference_schema(descriptor.full_name)


def _field_shape(  # noqa: PLR0911 - one line a type
    field: Any, definitions: dict[str, core_schema.CoreSchema]
) -> core_schema.CoreSchema:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_MESSAGE:
            return _shape_of(field.message_type, definitions)
        case FieldDescriptor.CPPTYPE_ENUM:
            return core_schema.literal_schema([value.name for value in field.enum_type.values])
        case FieldDescriptor.CPPTYPE_BOOL:
            return core_schema.bool_schema()
        case FieldDescriptor.CPPTYPE_INT32:
            return core_schema.int_schema(ge=-(2**31), le=2**31 - 1)
        case FieldDescriptor.CPPTYPE_UINT32:
            return core_schema.int_schema(ge=0, le=2**32 - 1)
        case FieldDescriptor.CPPTYPE_INT64 | FieldDescriptor.CPPTYPE_UINT64:
            # Text: a number in JavaScript is a double.
            return _text({"format": "int64", "pattern": "^-?[0-9]{1,20}$"})
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return core_schema.float_schema()
        case _ if field.type == FieldDescriptor.TYPE_BYTES:
            return _text({"contentEncoding": "base64"})
        case _:
            return _text({})


def _text(keywords: dict[str, str]) -> core_schema.CoreSchema:
    return core_schema.str_schema(metadata={"pydantic_js_updates": keywords})
