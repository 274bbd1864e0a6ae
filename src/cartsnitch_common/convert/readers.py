"""Messages to the values of their columns, by generated functions.

Each takes a message's twin, reads a field once, asks its rules and converts it. What it
is not sure of it declines with None, and the slow way checks, converts and words the error.
"""

from __future__ import annotations

import datetime as dt
import struct
from typing import TYPE_CHECKING, Any, Final

from asyncpg.pgproto.pgproto import UUID

from cartsnitch_common.contract.accepting_bytes import TwinChecks, parser
from cartsnitch_common.contract.conditions import UnknownRuleError
from cartsnitch_common.contract.memo import remembered
from cartsnitch_common.contract.options import field_rules
from cartsnitch_common.contract.source import build_function
from cartsnitch_common.contract.twins import is_opaque
from cartsnitch_common.convert import binary
from cartsnitch_common.convert.shapes import Shape, enum_numbers

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from google.protobuf.message import Message

    from cartsnitch_common.convert.pairs import Pair

    type ValuesReader = Callable[[Message], dict[str, Any] | None]
    type CopyReader = Callable[[Message], bytes | None]

_SHARED: Final = frozenset({"store_id", "purchase_id", "normalized_product_id"})
"""Ids that many messages have in common: each is read once, as long as it is remembered."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_COPY_EPOCH: Final = 946_684_800  # 2000-01-01. Unit: seconds since 1970
_MILLION: Final = 1_000_000


def build_values_reader(
    name: str, descriptor: Any, pairs: Sequence[Pair], derived: Collection[str]
) -> ValuesReader | None:
    """A function from a twin to its columns' values, None for one that it declines.

    Returns:
        The function, or None where a rule is not known and every message takes the slow way.
    """
    checked = _checked(descriptor, pairs, derived)
    if checked is None:
        return None
    checks, variables = checked
    values = [_or_unset(pair, variables, "None", _value(pair, variables, checks)) for pair in pairs]
    items = [f"{pair.column!r}: {value}" for pair, value in zip(pairs, values, strict=True)]
    lines = [*checks.lines, f"return {{{', '.join(items)}}}"]
    return build_function(f"read_values_{name}", "message", lines, checks.names)


def build_copy_reader(
    name: str, descriptor: Any, pairs: Sequence[Pair], derived: Collection[str]
) -> CopyReader | None:
    """A function from a twin to its row of a binary COPY; see :func:`build_values_reader`."""
    checked = _checked(descriptor, pairs, derived)
    if checked is None:
        return None
    checks, variables = checked
    checks.names |= {"join": b"".join, "NULL": binary.NULL}
    fields = [_or_unset(pair, variables, "NULL", _field(pair, variables, checks)) for pair in pairs]
    header = binary.row_header(len(pairs))
    lines = [*checks.lines, f"return join(({header!r}, {', '.join(fields)}))"]
    return build_function(f"read_copy_{name}", "message", lines, checks.names)


def _canonical(text: str) -> UUID:
    found = UUID(text)
    if str(found) != text:
        raise ValueError("must be a UUID in canonical lower-case form")
    return found


class _Reading(TwinChecks):
    """Checks of a message's twin that leave to the conversions what these prove anyhow.

    A price, a date or a quantity is converted once and remembered: what its rules say of
    it is remembered with it. A UUID is proven by the text that it is written as.
    """

    def __init__(self) -> None:
        super().__init__(decline="return None")
        self.names |= {"UUID": UUID, "shared": remembered(_canonical)}

    def _of_opaque(self, field: Any, variable: str) -> list[str]:
        del field, variable
        return []

    def _of_value(self, field: Any, variable: str, conditions: list[str]) -> list[str]:
        if field.name in _SHARED:
            proven = f"({variable}uuid := shared({variable}))"
        else:
            proven = f"str({variable}uuid := UUID({variable})) == {variable}"
        return [condition.replace(f"is_uuid({variable})", proven) for condition in conditions]


def _checked(
    descriptor: Any, pairs: Sequence[Pair], derived: Collection[str]
) -> tuple[_Reading, dict[str, str]] | None:
    checks = _Reading()
    try:
        variables = checks.ask_message("message", descriptor, without=derived)
    except UnknownRuleError:
        return None
    for pair in pairs:
        variable = variables[pair.field]
        rules = field_rules(pair.descriptor)
        if is_opaque(pair.descriptor):
            continue  # what makes its value refuses one that is unset, or makes NULL of it
        if pair.descriptor.has_presence and not pair.nullable and not rules.required:
            checks.lines.append(f"if {variable} is None: return None")
        elif pair.shape is Shape.UUID and rules.ignore:
            # The rule lets it be empty until it is recorded, the table does not.
            checks.lines.append(f"if not {variable}: return None")
    return checks, variables


def _or_unset(pair: Pair, variables: dict[str, str], unset: str, converted: str) -> str:
    """The expression of what is converted, or of what stands for NULL."""
    if not pair.nullable or converted == variables[pair.field] or is_opaque(pair.descriptor):
        return converted  # it is not unset, or what is unset is converted already
    return f"{unset} if {variables[pair.field]} is None else {converted}"


def _part(pair: Pair, variables: dict[str, str], part: str) -> str:
    return variables[f"{pair.field}.{part}"]


def _maker(
    pair: Pair, reading: _Reading, unset: object, write: Callable[[Any], Any]
) -> Callable[[bytes], Any]:
    """What makes a column's value of the bytes of a message that keeps the rules."""
    accept, parse = reading.accepts[pair.field], parser(pair.descriptor)
    optional = pair.nullable and not field_rules(pair.descriptor).required

    def make(encoded: bytes) -> Any:
        message = parse(encoded)
        if message is None and optional:
            return unset
        if message is None or not accept(message):
            raise ValueError("breaks a rule")
        return write(pair.codec.read(message))

    return make


def _value(pair: Pair, variables: dict[str, str], reading: _Reading) -> str:
    """The expression of a column's value."""
    variable, made, names = variables[pair.field], f"made_{pair.column}", reading.names
    match pair.shape:
        case Shape.TEXT | Shape.BOOL | Shape.DOUBLE:
            return variable
        case Shape.UUID:
            return f"{variable}uuid"
        case Shape.TEXTS:
            return f"list({variable})"
        case Shape.ENUM:
            numbers = enum_numbers(pair.type, pair.descriptor)
            names[made] = {number: member for member, number in numbers.items()}
            return f"{made}[{variable}]"
        case Shape.TIME:
            names |= {"EPOCH": _EPOCH, "timedelta": dt.timedelta}
            seconds, nanos = (_part(pair, variables, name) for name in ("seconds", "nanos"))
            return f"EPOCH + timedelta(0, {seconds}, {nanos} // 1000)"
        case _:
            names[made] = remembered(_maker(pair, reading, None, lambda value: value))
            return f"{made}({variable})"


def _field(pair: Pair, variables: dict[str, str], reading: _Reading) -> str:  # noqa: PLR0911 - one case a shape
    """The expression of a column's field in a binary COPY."""
    variable, made, names = variables[pair.field], f"made_{pair.column}", reading.names
    match pair.shape:
        case Shape.UUID:
            return f"{binary.UUID_LENGTH!r} + {variable}uuid.bytes"
        case Shape.TEXT:
            names["length"] = remembered(binary.length)
            return f"length(len(text := {variable}.encode())) + text"
        case Shape.BOOL:
            names[made] = {flag: binary.bool_field(flag) for flag in (False, True)}
            return f"{made}[{variable}]"
        case Shape.ENUM:
            numbers = enum_numbers(pair.type, pair.descriptor)
            names[made] = {number: binary.text_field(text) for text, number in numbers.items()}
            return f"{made}[{variable}]"
        case Shape.DOUBLE:
            names["double"] = binary.double_field
            return f"double({variable})"
        case Shape.TIME:
            names["time"] = struct.Struct(">iq").pack
            seconds, nanos = (_part(pair, variables, name) for name in ("seconds", "nanos"))
            return f"time(8, ({seconds} - {_COPY_EPOCH}) * {_MILLION} + {nanos} // 1000)"
        case Shape.TEXTS:
            names["json"] = binary.json_field
            return f"json(list({variable}))"
        case _:
            write = binary.FIELDS[pair.shape]
            names[made] = remembered(_maker(pair, reading, binary.NULL, write))
            return f"{made}({variable})"
