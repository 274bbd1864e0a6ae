"""The rules in ``buf.validate`` options, checked by protovalidate."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from cartsnitch_common.errors import InvalidFieldError, MissingExtraError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from protovalidate import Validator, Violation


@cache
def _validator() -> Validator:
    # One for the process: it compiles each message's rules once and keeps them.
    try:
        from protovalidate import Validator  # noqa: PLC0415 - its engine loads when it is needed
    except ImportError:
        raise MissingExtraError("validate", "protovalidate") from None
    return Validator()


def check(message: Message, *, json_names: bool = False) -> None:
    """Check a message against every rule of the contract.

    Args:
        message: Any message of the contract.
        json_names: Name the field as its JSON form does, ``unitPrice`` for ``unit_price``.

    Raises:
        InvalidFieldError: A rule is broken; names the first field, in the order
            of declaration, and how many more there are.
    """
    violations = _validator().collect_violations(message)
    if not violations:
        return
    paths = [_path(violation, message, json_names=json_names) for violation in violations]
    # A field says more than the message around it, which fails with it.
    place = next(i for i, path in enumerate(paths) if not _has_inner(path, paths))
    first = violations[place].proto
    more = len(violations) - 1
    reason = first.message + (f" (and {more} more)" if more else "")
    raise InvalidFieldError(paths[place], reason, rule_id=first.rule_id)


def _has_inner(path: str, paths: list[str]) -> bool:
    start = f"{path}." if path else ""
    return any(other != path and other.startswith(start) for other in paths)


def _path(violation: Violation, message: Message, *, json_names: bool) -> str:
    steps = []
    descriptor: Any = message.DESCRIPTOR
    field_path = violation.proto.field
    for element in field_path.elements if field_path is not None else ():
        field = descriptor.fields_by_name.get(element.field_name)
        if field is None:  # a oneof
            steps.append(element.field_name)
            continue
        name = field.json_name if json_names else field.name
        subscript = element.subscript
        steps.append(name if subscript is None else f"{name}[{subscript.value}]")
        descriptor = field.message_type
    return ".".join(steps)
