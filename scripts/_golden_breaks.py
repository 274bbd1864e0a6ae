"""Changes that break rules of the contract; the golden vectors keep the first that does."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor
from protovalidate import Validator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from google.protobuf.message import Message

type Change = Callable[[Any], object]

SOME_ID: Final = "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e5f"


@cache
def _validator() -> Validator:
    return Validator()


def broken_rules(message: Message) -> list[str]:
    """Every broken rule as ``field.path: rule.id``, sorted: engines differ in the order."""
    found = []
    for violation in _validator().collect_violations(message):
        path = ""
        for element in violation.proto.field.elements if violation.proto.field else ():
            path += f".{element.field_name}"
            path += f"[{element.subscript.value}]" if element.subscript is not None else ""
        found.append(": ".join([*([path[1:]] if path else []), violation.proto.rule_id]))
    return sorted(found)


def field_breaks(field: Any) -> Iterator[Change]:
    """Changes of one field that a rule of it in CEL may refuse."""
    name = field.name
    if field.is_repeated:
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            yield lambda message: getattr(message, name).append(getattr(message, name)[0].upper())
        return
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            yield lambda message: setattr(message, name, getattr(message, name).upper())
            yield lambda message: setattr(message, name, "a\0b")
        case FieldDescriptor.CPPTYPE_MESSAGE:
            for change in INNER.get(field.message_type.name, []):
                yield partial(_within, name, change)


def _within(name: str, change: Change, message: Any) -> None:
    change(getattr(message, name))


def _set(name: str, value: object, message: Any) -> None:
    setattr(message, name, value)


INNER: Final[dict[str, list[Change]]] = {
    "Money": [
        lambda money: money.MergeFrom(type(money)(units=-1, nanos=-500_000_000)),
        lambda money: money.MergeFrom(type(money)(nanos=1)),
    ],
    "Decimal": [
        lambda number: setattr(number, "value", "-0.5"),
        lambda number: setattr(number, "value", "0.00"),
    ],
    "Timestamp": [lambda time: setattr(time, "nanos", 1)],
    "Purchase": [lambda purchase: purchase.ClearField("items")],
}


def message_breaks(full: Any) -> Iterator[Change]:
    """Changes of a full message that a rule about several of its fields may refuse."""
    match full.DESCRIPTOR.name:
        case "Date":
            yield lambda date: date.MergeFrom(type(date)(year=2026, month=2, day=29))
        case "Money":
            yield lambda money: setattr(money, "nanos", -1)
        case "Receipt":
            yield lambda receipt: setattr(
                receipt.purchase, "id", "018f3c5e-7b1a-7c2d-8e3f-0a1b2c3d4e5f"
            )
        case "CouponsUpdated":
            yield lambda event: (
                event.ClearField("coupons"),
                event.ClearField("removed_coupon_ids"),
            )
    for field in full.DESCRIPTOR.fields:
        yield from _general_changes(field)


def _general_changes(field: Any) -> Iterator[Change]:
    name = field.name
    if field.is_repeated:
        return
    if field.has_presence:
        yield lambda message: message.ClearField(name)
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        for value in field.enum_type.values:
            yield partial(_set, name, value.number)
    elif field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        match field.message_type.name:
            case "Date":
                yield lambda message: setattr(getattr(message, name), "month", 12)
            case "Money":
                yield lambda message: setattr(getattr(message, name), "units", 1_000)
            case "Decimal":
                yield lambda message: setattr(getattr(message, name), "value", "100.01")
