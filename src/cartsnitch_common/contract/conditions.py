"""The rules of one field or message as conditions in Python.

A rule that is not known here makes the whole message type unknown. A condition may be
stricter than its rule, never looser.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.unknown_fields import UnknownFieldSet

from cartsnitch_common.contract.expressions import find_condition
from cartsnitch_common.contract.options import field_rules, message_rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LABEL: Final = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
# Part of what the rule accepts: the characters that addresses have in fact.
_EMAIL: Final = rf"[a-zA-Z0-9._%+-]+@{_LABEL}(\.{_LABEL})*"
# Patterns that mean the same in RE2 and in Python, from the first character to the last:
# groups, repetition and classes of plain characters. No flag, no class by name, no point.
_PLAIN: Final = re.compile(
    r"\^(\\[.+-]|\[[A-Za-z0-9_!~+.-]+\]|[A-Za-z0-9_:/-]|[()|?*+]|\{[0-9,]+\})*\$", re.ASCII
)
# Digits alone, of one length or another: asked for less than a pattern.
_CODE: Final = r"\[0-9\]\{([0-9]+)(?:,([0-9]+))?\}"
_CODES: Final = re.compile(rf"\^\({_CODE}(?:\|{_CODE})*\)\$", re.ASCII)
_NUMBERS: Final = frozenset({"int32", "int64", "uint32", "uint64", "double"})


class UnknownRuleError(Exception):
    """a rule is left to protovalidate."""


def field_conditions(
    field: Any, names: dict[str, Any], places: Mapping[str, str]
) -> tuple[list[str], Mapping[str, str]]:
    """What to ask of a field's value; of a repeated field, of the list as a whole.

    Args:
        field: The field's descriptor.
        names: Takes the objects that the conditions name.
        places: The variable of the value as ``this``, and those of its parts.

    Returns:
        The conditions, and the parts of the value that must have one value.

    Raises:
        UnknownRuleError: A rule is not known.
    """
    rules = field_rules(field)
    conditions = _standard(field, rules, places["this"], names)
    own, fixed = _own(field, rules, places)
    conditions = list(dict.fromkeys(conditions + own))
    if rules.ignore and conditions:
        zero_only = rules.DESCRIPTOR.file.enum_types_by_name["Ignore"].values_by_name[
            "IGNORE_IF_ZERO_VALUE"
        ]
        if rules.ignore != zero_only.number or field.has_presence or field.is_repeated:
            raise UnknownRuleError(f"{field.full_name}: ignore")
        conditions = [f"(not {places['this']} or {' and '.join(conditions)})"]
    return conditions, fixed


def item_conditions(field: Any, names: dict[str, Any], item: str) -> list[str]:
    """What to ask of each item of a repeated field.

    Raises:
        UnknownRuleError: A rule is not known.
    """
    rules = field_rules(field).repeated.items
    own, _ = _own(field, rules, {"this": item})
    return list(dict.fromkeys(_standard(field, rules, item, names) + own))


def message_conditions(descriptor: Any, places: Mapping[str, str]) -> list[str]:
    """What to ask of a message as a whole.

    Raises:
        UnknownRuleError: A rule is not known.
    """
    rules = message_rules(descriptor)
    _only(descriptor, rules, {"cel"})
    conditions, fixed = _own(descriptor, rules, places)
    if fixed:
        raise UnknownRuleError(f"{descriptor.full_name}: a field's rule at the message")
    return conditions


def decide(conditions: Iterable[str], variable: str, value: object, names: dict[str, Any]) -> bool:
    """Whether a value meets conditions, found out now."""
    known = names | {variable: value}
    return all(eval(condition, known) for condition in conditions)  # noqa: S307 - composed above


def _own(described: Any, rules: Any, places: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The contract's own rules, in CEL."""
    conditions: list[str] = []
    fixed: dict[str, str] = {}
    for rule in rules.cel:
        known = find_condition(rule.id, rule.expression)
        if known is None or not known.fixed.keys() <= places.keys():
            raise UnknownRuleError(f"{described.full_name}: {rule.id}")
        fixed |= known.fixed
        try:
            conditions.append(known.text.format_map(places))
        except KeyError:  # it is of a message with other fields
            raise UnknownRuleError(f"{described.full_name}: {rule.id}") from None
    return conditions, fixed


def _standard(field: Any, rules: Any, variable: str, names: dict[str, Any]) -> list[str]:
    """The rules that ``buf.validate`` has for the field's type."""
    kind = rules.WhichOneof("type")
    _only(field, rules, {"cel", "required", "ignore", kind})
    if rules.required and field.type != FieldDescriptor.TYPE_MESSAGE:
        raise UnknownRuleError(f"{field.full_name}: required")
    if kind is None:
        return []
    found = getattr(rules, kind)
    if kind == "repeated":
        return _of_list(field, found, variable)
    if kind == "string":
        return _of_text(field, found, variable, names)
    if kind == "enum":
        _only(field, found, {"defined_only", "not_in"})
        if not found.defined_only:
            raise UnknownRuleError(f"{field.full_name}: enum")
        allowed = {value.number for value in field.enum_type.values} - set(found.not_in)
        return [f"{variable} in {sorted(allowed)!r}".replace("[", "{").replace("]", "}")]
    if kind in _NUMBERS:
        _only(field, found, {"gte", "lte"})
        low, high = found.HasField("gte"), found.HasField("lte")
        ends = (f"{found.gte!r} <= " if low else "", f" <= {found.lte!r}" if high else "")
        if low and high and found.gte > found.lte:
            raise UnknownRuleError(f"{field.full_name}: a range that excludes its middle")
        return [f"{ends[0]}{variable}{ends[1]}"]
    raise UnknownRuleError(f"{field.full_name}: {kind}")


def _of_text(field: Any, rules: Any, variable: str, names: dict[str, Any]) -> list[str]:
    _only(field, rules, {"uuid", "email", "min_len", "max_len", "len", "pattern"})
    conditions = []
    if rules.HasField("min_len") or rules.HasField("max_len"):
        low = f"{rules.min_len} <= " if rules.min_len else ""
        high = f" <= {rules.max_len}" if rules.HasField("max_len") else ""
        conditions.append(f"{low}len({variable}){high}")
    if rules.HasField("len"):
        conditions.append(f"len({variable}) == {rules.len}")
    if rules.uuid:
        conditions.append(f"is_uuid({variable})")  # in lower case, which the rule leaves open
    if rules.email:
        conditions.append(_matches("is_email", _EMAIL, variable, names))
    if rules.HasField("pattern"):
        if not _PLAIN.fullmatch(rules.pattern):
            raise UnknownRuleError(f"{field.full_name}: pattern")
        name = f"is_{field.containing_type.name}_{field.name}"
        if _CODES.fullmatch(rules.pattern):
            conditions.append(_is_code(rules.pattern, variable))
        else:
            # Without its ends: in Python `$` is also before a line break.
            conditions.append(_matches(name, rules.pattern[1:-1], variable, names))
    return conditions


def _is_code(pattern: str, variable: str) -> str:
    lengths = {
        length
        for low, high in re.findall(_CODE, pattern)
        for length in range(int(low), int(high or low) + 1)
    }
    return f"len({variable}) in {lengths!r} and {variable}.isascii() and {variable}.isdigit()"


def _matches(name: str, pattern: str, variable: str, names: dict[str, Any]) -> str:
    names[name] = re.compile(pattern, re.ASCII).fullmatch
    return f"{name}({variable})"


def _of_list(field: Any, rules: Any, variable: str) -> list[str]:
    _only(field, rules, {"min_items", "max_items", "unique", "items"})
    conditions = []
    if rules.HasField("min_items") or rules.HasField("max_items"):
        low = f"{rules.min_items} <= " if rules.min_items else ""
        high = f" <= {rules.max_items}" if rules.HasField("max_items") else ""
        conditions.append(f"{low}len({variable}){high}")
    if rules.unique:
        conditions.append(f"len(set({variable})) == len({variable})")
    return conditions


def _only(described: Any, rules: Any, known: set[str | None]) -> None:
    """Make sure that nothing is said but what is known, also by a later ``buf.validate``."""
    for field, _ in rules.ListFields():
        if field.name not in known:
            raise UnknownRuleError(f"{described.full_name}: {field.name}")
    if len(UnknownFieldSet(rules)):
        raise UnknownRuleError(f"{described.full_name}: a rule of a later version")
