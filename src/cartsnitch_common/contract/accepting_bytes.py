"""Bytes of messages that surely keep every rule, told apart by generated code.

What ``accepting`` asks of a message is asked of its twin here, in which a price is the
bytes that it is sent as: asked once, as long as it is remembered.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf import message_factory
from google.protobuf.message import DecodeError

from cartsnitch_common.contract.accepting import Checks
from cartsnitch_common.contract.conditions import UnknownRuleError
from cartsnitch_common.contract.memo import remembered
from cartsnitch_common.contract.options import field_rules
from cartsnitch_common.contract.source import build_function
from cartsnitch_common.contract.twins import UNSET, is_opaque, twin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

_LONGEST: Final = 64
"""Bytes of a price, a date or a number that are remembered. They take half of it: what is
longer holds fields that are not known, and a stranger could fill the memory with them."""


@cache
def bytes_acceptance(descriptor: Any) -> Callable[[bytes], bool] | None:
    """A function that says True of bytes of messages that surely keep every rule.

    The bytes are those that protobuf writes of a message. In others a price may stand
    twice: a message merges both, its twin takes the last.

    Returns:
        The function; None for a type with a rule that is not known here.

    Raises:
        MissingExtraError: protovalidate, which carries the options' format, is not installed.
    """
    try:
        accept_twin = _twin_acceptance(descriptor)
    except UnknownRuleError:
        return None
    read = twin_of(descriptor).FromString

    def accept(encoded: bytes) -> bool:
        try:
            return accept_twin(read(encoded))
        except (DecodeError, ValueError):
            return False

    return accept


@cache
def _twin_acceptance(descriptor: Any) -> Callable[[Message], bool]:
    checks = TwinChecks(decline="return False")
    checks.ask_message("message", descriptor)
    name = f"accept_twin_{descriptor.full_name.replace('.', '_')}"
    return build_function(name, "message", [*checks.lines, "return True"], checks.names)


class TwinChecks(Checks):
    """Checks of a message's twin: its prices, dates and numbers are asked by their bytes.

    Attributes:
        accepts: By field, whether its message keeps the rules.
    """

    def __init__(self, *, decline: str) -> None:
        """Start with no lines; see ``Checks``."""
        super().__init__(decline=decline)
        self.accepts: dict[str, Callable[[Any], bool]] = {}

    def _of_opaque(self, field: Any, variable: str) -> list[str]:
        """What to ask of the bytes of a price; a caller may ask it elsewhere."""
        name = f"keeps_{field.name}"
        self.names[name] = remembered(self._keeper(field))
        return [f"{name}({variable})"]

    def _keeper(self, field: Any) -> Callable[[bytes], bool]:
        """Whether the bytes of a price keep its rules; it raises for what is not remembered."""
        accept, parse = self.accepts[field.name], parser(field)
        required: bool = field_rules(field).required

        def keep(encoded: bytes) -> bool:
            message = parse(encoded)
            return not required if message is None else accept(message)

        return keep

    def _ask_flat(self, message: str, field: Any, variables: dict[str, str]) -> None:
        if not is_opaque(field):
            super()._ask_flat(message, field, variables)
            return
        variable = variables[field.name] = f"{field.name}_"
        places = {part.name: part.name for part in field.message_type.fields}
        conditions, _ = self._flat_conditions(field, variable, places)
        asked = " and ".join(conditions) or "True"
        lines = [*(f"{part} = message.{part}" for part in places), f"return {asked}"]
        self.accepts[field.name] = build_function(
            f"accept_{field.name}", "message", lines, self.names
        )
        self.lines.append(f"{variable} = {message}.{field.name}")
        self._ask(self._of_opaque(field, variable))

    def _places(self, descriptor: Any, variables: Mapping[str, str]) -> Mapping[str, str]:
        """A condition that looks into a price or a date looks into the message again."""
        places = dict(variables)
        for field in descriptor.fields:
            if is_opaque(field):
                name, variable = f"parsed_{field.name}", variables[field.name]
                self.names[name] = remembered(parser(field))
                places[field.name] = f"{name}({variable})"
        return places

    def _accept_of(self, descriptor: Any) -> str:
        accept = _twin_acceptance(descriptor)
        self.names[accept.__name__] = accept
        return accept.__name__


def parser(field: Any) -> Callable[[bytes], Any]:
    """What reads the message of an opaque field from its bytes, if they are short enough to keep.

    It gives None where the field is unset, and raises a ValueError for longer ones.
    """
    kind: Any = message_factory.GetMessageClass(field.message_type)

    def parse(encoded: bytes) -> Any:
        if encoded == UNSET:
            return None
        if len(encoded) > _LONGEST:
            raise ValueError("holds more than its fields")
        return kind.FromString(encoded)

    return parse
