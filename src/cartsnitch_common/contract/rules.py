"""The rules in ``buf.validate`` options, checked by protovalidate.

What surely keeps them is told apart first, by generated code that is ten times as
fast; every doubt is protovalidate's to judge and to word.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from cartsnitch_common.contract.accepting import acceptance
from cartsnitch_common.errors import InvalidFieldError, MissingExtraError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from protovalidate import Validator, Violation


_UNKNOWN_ENUM: Final = "enum.defined_only"


@cache
def _validator() -> Validator:
    # One for the process: it compiles each message's rules once and keeps them.
    try:
        from protovalidate import Validator  # noqa: PLC0415 - its engine loads when it is needed
    except ImportError:
        raise MissingExtraError("validate", "protovalidate") from None
    return Validator()


def check(message: Message, *, json_names: bool = False, unknown_enums: bool = False) -> None:
    """Check a message against every rule of the contract.

    Args:
        message: Any message of the contract.
        json_names: Name the field as its JSON form does, ``unitPrice`` for ``unit_price``.
        unknown_enums: Let pass enum values that this version does not know, as a
            reader must: a newer writer knows more of them.

    Raises:
        InvalidFieldError: A rule is broken; names the first field, in the order
            of declaration, and how many more there are.
    """
    found = violations(message, json_names=json_names)
    if unknown_enums:
        found = [violation for violation in found if violation.rule_id != _UNKNOWN_ENUM]
    if not found:
        return
    first, more = found[0], len(found) - 1
    reason = first.reason + (f" (and {more} more)" if more else "")
    raise InvalidFieldError(first.field, reason, rule_id=first.rule_id)


def violations(message: Message, *, json_names: bool = False) -> list[InvalidFieldError]:
    """Every rule of the contract that a message breaks, as ``check`` raises the first.

    Order: that of declaration, but a field stands before the message around it,
    which fails with it and says less.
    """
    accept = acceptance(message.DESCRIPTOR)
    if accept is not None and accept(message):
        return []
    found = _validator().collect_violations(message)
    paths = [_path(violation) for violation in found]
    around = _around(paths)
    order = sorted(range(len(found)), key=lambda place: paths[place] in around)
    return [
        InvalidFieldError(
            json_path(paths[place]) if json_names else paths[place],
            found[place].proto.message,
            rule_id=found[place].proto.rule_id,
        )
        for place in order
    ]


def _around(paths: list[str]) -> set[str]:
    """The paths of the messages that some fields stand in."""
    found = set[str]()
    for path in paths:
        outer = path
        while outer and (outer := outer.rpartition(".")[0]) not in found:
            found.add(outer)
    return found


def json_path(path: str) -> str:
    """A field's path in JSON names: ``items[0].unit_price`` is ``items[0].unitPrice``."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), path)


def _path(violation: Violation) -> str:
    steps = []
    field_path = violation.proto.field
    for element in field_path.elements if field_path is not None else ():
        subscript = element.subscript
        name = element.field_name
        steps.append(name if subscript is None else f"{name}[{subscript.value}]")
    return ".".join(steps)
