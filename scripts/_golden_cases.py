"""The messages that the golden vectors hold, made from the contract's own rules.

Every value follows from a field's type, name and rules, so that the same contract
gives the same messages on every machine, and a new message or rule needs no
code here, unless no candidate of ``_golden_values`` and ``_golden_breaks`` fits it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from _golden_breaks import broken_rules, field_breaks, message_breaks
from _golden_values import (
    LONG,
    Size,
    bad_text,
    scalars,
    sized,
    text,
)
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _golden_breaks import Change
    from google.protobuf import descriptor_pb2

UNKNOWN_NUMBER: Final = 99
"""An enum value that no version knows."""

UNKNOWN_FIELDS: Final = b"\xf0\xff\xff\xff\x0f\x2a\xfa\xff\xff\xff\x0f\x07unknown"
"""The two largest field numbers: 42, and the text "unknown"."""

UNKNOWN_PAYLOAD: Final = b"\xc2\x3e\x02\x08\x01"
"""Field 1000, a message: what a oneof's case of a later version looks like."""

SCALARS: Final = {
    "cartsnitch.type.v1.Money",
    "cartsnitch.type.v1.Decimal",
    "cartsnitch.type.v1.Date",
    "google.protobuf.Timestamp",
}


class Cases:
    """The cases of every message of a descriptor set that has all imports."""

    def __init__(self, full: descriptor_pb2.FileDescriptorSet) -> None:
        """Read the set into a pool of its own, where the rules' extensions are known."""
        self._pool = descriptor_pool.DescriptorPool()
        for file in full.file:
            self._pool.Add(file)
        self._own = [file for file in full.file if file.name.startswith("cartsnitch/")]

    def messages(self) -> list[str]:
        """The full names of the contract's messages, sorted."""
        return sorted(
            f"{file.package}.{one.name}" for file in self._own for one in file.message_type
        )

    def rule_ids(self, name: str) -> set[str]:
        """The ids of a message's own rules in CEL, those of its fields included."""
        kind = self._pool.FindMessageTypeByName(name)
        fields = [rule for field in kind.fields for rule in self._field_cel(field)]
        return {rule.id for rule in [*self._message_rules(kind).cel, *fields]}

    def of(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Each case of a message: its name and its bytes."""
        kind: Any = self._pool.FindMessageTypeByName(name)
        full = self._filled(kind, Size.FULL)
        yield "empty", b""
        yield "full", _bytes(full)
        yield "extreme", _bytes(self._filled(kind, Size.EXTREME))
        yield "lowest", _bytes(self._filled(kind, Size.LOWEST))
        for oneof in kind.oneofs:
            if len(oneof.fields) > 1:
                yield from self._alternatives(kind, oneof)
        optional = [one for one in kind.fields if one.has_presence and not _is_message(one)]
        if any(len(one.containing_oneof.fields) == 1 for one in optional):
            yield "zero_but_present", _bytes(_with_zeros(full, optional))
        enums = [one for one in kind.fields if one.cpp_type == FieldDescriptor.CPPTYPE_ENUM]
        if enums:
            yield "unknown_enum", _bytes(_with_enums(full, enums))
        yield "unknown_field", _bytes(full) + UNKNOWN_FIELDS
        beyond = self._beyond(full)
        if beyond != full:
            yield "beyond", _bytes(beyond)
        if any(self._field_cel(field) for field in kind.fields):
            yield "breaks_fields", _bytes(self._with_broken_fields(full))
        for rule in self._message_rules(kind).cel:
            yield f"breaks_{rule.id}", _bytes(self._broken(full, rule.id, message_breaks(full)))

    def with_field(self, name: str, field: str) -> tuple[str, bytes]:
        """The case for a field that came after a message's other cases were written."""
        kind = self._pool.FindMessageTypeByName(name)
        return f"with_{field}", _bytes(self._filled(kind, Size.FULL))

    def with_broken_rule(self, name: str, rule_id: str) -> tuple[str, bytes]:
        """The case for a rule that came after a message's other cases were written."""
        full = self._filled(self._pool.FindMessageTypeByName(name), Size.FULL)
        changes = [change for one in full.DESCRIPTOR.fields for change in field_breaks(one)]
        changes += message_breaks(full)
        return f"breaks_{rule_id}", _bytes(self._broken(full, rule_id, changes))

    # -- what may be sent ----------------------------------------------------------

    def _filled(self, kind: Any, size: Size) -> Any:
        if kind.full_name in SCALARS:
            return self._scalar(kind, size, None)
        message = message_factory.GetMessageClass(kind)()
        for field in kind.fields:
            if field.containing_oneof is None or field.containing_oneof.fields[0] is field:
                self._fill(message, field, size)
        self._agree(message, size)
        return message

    def _fill(self, message: Any, field: Any, size: Size) -> None:
        if field.is_repeated:
            values = [self._value(field, size, n) for n in range(1 if size is Size.LOWEST else 2)]
            getattr(message, field.name).extend(values)
        elif _is_message(field):
            getattr(message, field.name).CopyFrom(self._value(field, size, 0))
        else:
            setattr(message, field.name, self._value(field, size, 0))

    def _value(self, field: Any, size: Size, index: int) -> Any:  # noqa: PLR0911 - one a type
        rules = self._rules(field)
        rules = rules.repeated.items if field.is_repeated else rules
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_MESSAGE if field.message_type.full_name in SCALARS:
                return self._scalar(field.message_type, size, field)
            case FieldDescriptor.CPPTYPE_MESSAGE:
                # What is extreme about an inner message stands in its own vectors.
                return self._filled(field.message_type, Size.FULL)
            case FieldDescriptor.CPPTYPE_ENUM:
                numbers = [value.number for value in field.enum_type.values if value.number]
                return numbers[-1 if size is Size.EXTREME else min(index, len(numbers) - 1)]
            case FieldDescriptor.CPPTYPE_STRING:
                return text(field.name, rules.string, size, index)
            case FieldDescriptor.CPPTYPE_BOOL:
                return size is not Size.LOWEST
            case FieldDescriptor.CPPTYPE_INT32:
                usual = min(max(25, rules.int32.gte), rules.int32.lte)
                return sized(size, usual, rules.int32)
            case FieldDescriptor.CPPTYPE_DOUBLE:
                return sized(size, 42.25 if "lat" in field.name else -83.75, rules.double)
        raise NotImplementedError(
            f"a vector for {field.full_name}, of a type that was not there yet"
        )

    def _scalar(self, kind: Any, size: Size, field: Any) -> Any:
        """The first candidate that no rule of the field refuses."""
        for message in scalars(message_factory.GetMessageClass(kind), size, field):
            if field is None:
                return message
            around: Any = message_factory.GetMessageClass(field.containing_type)()
            getattr(around, field.name).CopyFrom(message)
            start = (f"{field.name}.", f"{field.name}: ")
            if not any(one.startswith(start) for one in broken_rules(around)):
                return message
        raise NotImplementedError(f"scripts/_golden_values.py has no {size} for {field.full_name}")

    def _agree(self, message: Any, size: Size) -> None:
        """What fields say of each other, where no rule of one field can."""
        match message.DESCRIPTOR.name:
            case "Receipt":
                message.purchase.ClearField("id")
                message.purchase.ClearField("store_id")
                for item in message.purchase.items:
                    item.ClearField("id")
                    item.ClearField("purchase_id")
            case "Envelope" if size is not Size.EXTREME:
                option = self._event_option(getattr(message, message.WhichOneof("payload")))
                message.event_type = option.channel
                services = option.DESCRIPTOR.fields_by_name["publishers"].enum_type
                name = services.values_by_number[option.publishers[0]].name
                message.service = name.removeprefix("SERVICE_").lower()
            case "PriceIncrease" | "PriceIncreaseDetected":
                message.previous_price.units -= size is not Size.LOWEST
                message.current_price.nanos += 100_000 * (size is Size.LOWEST)
            case "PriceObservation":
                message.source = 1  # only a receipt's price names its line

    def _alternatives(self, kind: Any, oneof: Any) -> Iterator[tuple[str, bytes]]:
        for field in oneof.fields:
            message = self._filled(kind, Size.FULL)
            message.ClearField(message.WhichOneof(oneof.name))
            self._fill(message, field, Size.FULL)
            self._agree(message, Size.FULL)
            yield f"{oneof.name}_{field.name}", _bytes(message)
        message = self._filled(kind, Size.FULL)
        message.ClearField(message.WhichOneof(oneof.name))
        yield f"{oneof.name}_unset", _bytes(message)
        yield f"{oneof.name}_unknown", _bytes(message) + UNKNOWN_PAYLOAD

    # -- what may not --------------------------------------------------------------

    def _beyond(self, full: Any) -> Any:
        """The full message with each of its own fields one step beyond what its rule allows."""
        message = _copy(full)
        for field in message.DESCRIPTOR.fields:
            rules = self._rules(field)
            if field.is_repeated:
                many = getattr(message, field.name)
                limit = rules.repeated.max_items
                if rules.repeated.unique:
                    many.append(many[0])
                if 0 < limit <= LONG:  # more would be long to read and prove the same rule
                    many.extend([many[0]] * (limit + 1 - len(many)))
            elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
                if len(rules.ListFields()):
                    setattr(message, field.name, bad_text(rules.string))
            elif field.cpp_type in {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64}:
                limits = rules.int64 if rules.HasField("int64") else rules.int32
                if limits.lte:
                    setattr(message, field.name, limits.lte + 1)
            elif field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE and rules.double.lte:
                setattr(message, field.name, rules.double.lte + 1)
        return message

    def _with_broken_fields(self, full: Any) -> Any:
        """The full message with each field breaking its own rules in CEL, if it has any."""
        message = _copy(full)
        for field in message.DESCRIPTOR.fields:
            for rule in self._field_cel(field):
                found = self._first_breaking(message, rule.id, field_breaks(field))
                message = message if found is None else found
        return message

    def _broken(self, full: Any, rule_id: str, changes: Iterable[Change]) -> Any:
        """The full message changed so that it breaks a rule."""
        found = self._first_breaking(full, rule_id, changes)
        if found is None:
            raise NotImplementedError(f"say in scripts/_golden_breaks.py what breaks {rule_id}")
        return found

    def _first_breaking(self, message: Any, rule_id: str, changes: Iterable[Change]) -> Any:
        before = broken_rules(message)
        for change in changes:
            changed = _copy(message)
            change(changed)
            new = [one for one in broken_rules(changed) if one not in before]
            if any(one.rpartition(": ")[2] == rule_id for one in new):
                return changed
        return None

    # -- options -------------------------------------------------------------------

    def _field_cel(self, field: Any) -> list[Any]:
        rules = self._rules(field)
        return [*rules.cel, *rules.repeated.items.cel]

    def _rules(self, field: Any) -> Any:
        return self._extension(field.GetOptions(), "buf.validate.field")

    def _message_rules(self, kind: Any) -> Any:
        return self._extension(kind.GetOptions(), "buf.validate.message")

    def _event_option(self, payload: Any) -> Any:
        return self._extension(payload.DESCRIPTOR.GetOptions(), "cartsnitch.options.v1.event")

    def _extension(self, options: Any, name: str) -> Any:
        # Read again in the pool that knows the extension; elsewhere it is raw bytes.
        kind = self._pool.FindMessageTypeByName(options.DESCRIPTOR.full_name)
        again: Any = message_factory.GetMessageClass(kind).FromString(options.SerializeToString())
        return again.Extensions[self._pool.FindExtensionByName(name)]


def _bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def _copy(message: Any) -> Any:
    return type(message).FromString(message.SerializeToString())


def _is_message(field: Any) -> bool:
    return bool(field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE)


def _with_zeros(full: Any, optional: list[Any]) -> Any:
    """Every optional scalar present and zero or empty, which is not the same as unset."""
    message = _copy(full)
    for field in optional:
        setattr(message, field.name, field.default_value)
    return message


def _with_enums(full: Any, enums: list[Any]) -> Any:
    message = _copy(full)
    for field in enums:
        if field.is_repeated:
            getattr(message, field.name).append(UNKNOWN_NUMBER)
        else:
            setattr(message, field.name, UNKNOWN_NUMBER)
    return message
