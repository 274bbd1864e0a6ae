"""Messages that surely keep every rule, told apart by generated code.

protovalidate takes 10 to 40 us to find nothing wrong with a message; a function made of
the message's own rules takes 1 to 4. It only ever says "surely right": whatever it does
not know or does not like, protovalidate judges, and words the error.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor import FieldDescriptor

from cartsnitch_common.contract.conditions import (
    UnknownRuleError,
    decide,
    field_conditions,
    item_conditions,
    message_conditions,
)
from cartsnitch_common.contract.expressions import NAMES, NIL_UUID
from cartsnitch_common.contract.options import field_rules, oneof_rules
from cartsnitch_common.contract.source import build_function

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from google.protobuf.message import Message

    type Accept = Callable[[Message], bool]

_TEXT: Final = FieldDescriptor.TYPE_STRING
_MESSAGE: Final = FieldDescriptor.TYPE_MESSAGE


@cache
def acceptance(descriptor: Any) -> Accept | None:
    """A function that says True of messages that surely keep every rule.

    Returns:
        The function; None for a type with a rule that is not known here.

    Raises:
        MissingExtraError: protovalidate, which carries the options' format, is not installed.
    """
    checks = Checks(decline="return False")
    try:
        checks.ask_message("message", descriptor)
    except UnknownRuleError:
        return None
    lines = [*checks.lines, "return True"]
    name = f"accept_{descriptor.full_name.replace('.', '_')}"
    return build_function(name, "message", lines, checks.names)


@cache
def text_acceptance(field: Any) -> Callable[[str], bool] | None:
    """A function that says True of texts that surely keep the rules of one field.

    Returns:
        The function; None for a field with a rule that is not known here.

    Raises:
        MissingExtraError: protovalidate, which carries the options' format, is not installed.
    """
    names: dict[str, Any] = dict(NAMES)
    try:
        conditions, _ = field_conditions(field, names, {"this": "text"})
    except UnknownRuleError:
        return None
    asked = " and ".join([*conditions, "True"])
    name = f"accept_{field.full_name.replace('.', '_')}"
    return build_function(name, "text", [f"return {asked}"], names)


def why_unknown(descriptor: Any) -> str | None:
    """The first rule of a message type that is left to protovalidate, or None."""
    try:
        Checks(decline="return False").ask_message("message", descriptor)
    except UnknownRuleError as error:
        return str(error)
    return None


class Checks:
    """Lines that read a message's fields and leave the function at the first doubt.

    Attributes:
        lines: The lines so far.
        names: The objects that they name.
    """

    def __init__(self, *, decline: str) -> None:
        """Start with no lines.

        Args:
            decline: The statement that leaves the function.
        """
        self.lines: list[str] = []
        self.names: dict[str, Any] = dict(NAMES)
        self._decline = decline
        self._uuids: list[str] = []  # variables that must hold one, if they hold a text

    def ask_message(
        self, message: str, descriptor: Any, *, without: Collection[str] = ()
    ) -> dict[str, str]:
        """Read and ask every field of a message, then the message itself.

        Args:
            message: The variable that holds it.
            descriptor: Its type.
            without: Repeated fields whose items the caller asks.

        Returns:
            The variable of each field by its name; it holds None where the field is
            unset. Those of a flat message's own fields are named with a dot, ``total.units``.

        Raises:
            UnknownRuleError: A rule is not known.
        """
        variables: dict[str, str] = {}
        for oneof in descriptor.oneofs:
            if oneof_rules(oneof).ByteSize():
                raise UnknownRuleError(f"{oneof.full_name}: a rule of a oneof")
        for field in descriptor.fields:
            if field.is_repeated:
                self._ask_repeated(message, field, variables, ask_items=field.name not in without)
            elif field.type != _MESSAGE:
                self._ask_scalar(message, field, variables)
            elif is_flat(field.message_type):
                self._ask_flat(message, field, variables)
            else:
                self._ask_nested(message, field, variables)
        self._ask_uuids()
        self._ask(message_conditions(descriptor, self._places(descriptor, variables)))
        return variables

    def _places(self, descriptor: Any, variables: Mapping[str, str]) -> Mapping[str, str]:
        """The expressions that the conditions of the message name its fields by."""
        del descriptor
        return variables

    def _of_value(self, field: Any, variable: str, conditions: list[str]) -> list[str]:
        """What to ask of a single value; a caller may ask some elsewhere."""
        del field, variable
        return conditions

    def _ask(self, conditions: list[str], indent: str = "") -> None:
        if conditions:
            asked = " and ".join(conditions)
            self.lines.append(f"{indent}if not ({asked}): {self._decline}")

    def _ask_uuids(self) -> None:
        """Ask all of a message's UUIDs at once, which costs hardly more than to ask one.

        Each digit is made a zero. No UUID has a space in it, so none can be too long
        where another is too short.
        """
        if self._uuids:
            form = f"uuids_{len(self._uuids)}"
            self.names[form] = b" ".join([NIL_UUID.encode()] * len(self._uuids))
            texts = " ".join(f"{{{variable}}}" for variable in self._uuids)
            self._ask([f'f"{texts}".encode().translate(hex_digits) == {form}'])
        self._uuids = []

    def _ask_scalar(self, message: str, field: Any, variables: dict[str, str]) -> None:
        variable = variables[field.name] = f"{field.name}_"
        conditions, _ = field_conditions(field, self.names, {"this": variable})
        conditions = self._of_value(field, variable, conditions)
        read = f"{variable} = {message}.{field.name}"
        if f"is_uuid({variable})" in conditions:
            conditions.remove(f"is_uuid({variable})")
            self._uuids.append(f"{variable} or nil" if field.has_presence else variable)
        if not field.has_presence:
            self.lines.append(read)
            self._ask(conditions)
        elif field.type == _TEXT:
            # What is not empty is set, which is cheaper to see than to ask.
            self.lines += [read, f"if {variable}:"]
            self._ask(conditions or ["True"], "    ")
            self.lines.append(f"elif {message}.HasField({field.name!r}): {self._decline}")
            self.lines.append(f"else: {variable} = None")
        else:
            self.lines += [f"if {message}.HasField({field.name!r}):", f"    {read}"]
            self._ask(conditions, "    ")
            self.lines.append(f"else: {variable} = None")

    def _ask_flat(self, message: str, field: Any, variables: dict[str, str]) -> None:
        """Read a message of plain scalars, such as Money, without a call."""
        variable = variables[field.name] = f"{field.name}_"
        places = {part.name: f"{variable}{part.name}" for part in field.message_type.fields}
        variables |= {f"{field.name}.{name}": place for name, place in places.items()}
        conditions, probed = self._flat_conditions(field, variable, places)
        reads = [f"{place} = {variable}.{name}" for name, place in places.items()]
        required = field_rules(field).required
        if required and probed:
            # Unset, it reads as zero, which its own rules refuse.
            self.lines += [f"{variable} = {message}.{field.name}", *reads]
            self._ask(conditions)
            return
        self.lines.append(f"if {message}.HasField({field.name!r}):")
        self.lines += [f"    {read}" for read in (f"{variable} = {message}.{field.name}", *reads)]
        self._ask(conditions, "    ")
        self.lines.append(f"else: {self._decline if required else f'{variable} = None'}")

    def _flat_conditions(
        self, field: Any, variable: str, places: Mapping[str, str]
    ) -> tuple[list[str], bool]:
        """What to ask of a message of plain scalars, and whether it refuses an empty one."""
        outer, fixed = field_conditions(field, self.names, {"this": variable, **places})
        conditions: list[str] = []
        refuses_zero = False
        for part in field.message_type.fields:
            place = places[part.name]
            own, _ = field_conditions(part, self.names, {"this": place})
            refuses_zero |= not decide(own, place, part.default_value, self.names)
            if part.name in fixed:
                if not decide(own, place, fixed[part.name], self.names):
                    raise UnknownRuleError(f"{field.full_name}: refuses every value")
                own = [f"{place} == {fixed[part.name]!r}"]
            conditions += own
        conditions += message_conditions(field.message_type, places) + outer
        return conditions, refuses_zero

    def _ask_nested(self, message: str, field: Any, variables: dict[str, str]) -> None:
        variable = variables[field.name] = f"{field.name}_"
        accept = self._accept_of(field.message_type)
        conditions, _ = field_conditions(field, self.names, {"this": variable})
        self.lines.append(f"if {message}.HasField({field.name!r}):")
        self.lines.append(f"    {variable} = {message}.{field.name}")
        self._ask([f"{accept}({variable})", *conditions], "    ")
        required = field_rules(field).required
        self.lines.append(f"else: {self._decline if required else f'{variable} = None'}")

    def _ask_repeated(
        self, message: str, field: Any, variables: dict[str, str], *, ask_items: bool
    ) -> None:
        variable = variables[field.name] = f"{field.name}_"
        self.lines.append(f"{variable} = {message}.{field.name}")
        conditions, _ = field_conditions(field, self.names, {"this": variable})
        self._ask(conditions)
        items = item_conditions(field, self.names, "item")
        if field.type == _MESSAGE:
            items.append(f"{self._accept_of(field.message_type)}(item)")
        if items and ask_items:
            # A loop over the field itself ends with an error inside, which costs as much as
            # an item; a list of its items costs memory, which their limit bounds.
            bounded = field_rules(field).repeated.HasField("max_items")
            self.lines.append(f"for item in {variable}{'[:]' if bounded else ''}:")
            self._ask(items, "    ")

    def _accept_of(self, descriptor: Any) -> str:
        accept = acceptance(descriptor)
        if accept is None:
            raise UnknownRuleError(f"{descriptor.full_name}: {why_unknown(descriptor)}")
        self.names[accept.__name__] = accept
        return accept.__name__


def is_flat(descriptor: Any) -> bool:
    """Whether a message is made of single scalars without presence, as Money is."""
    return all(
        not field.is_repeated and not field.has_presence and field.type != _MESSAGE
        for field in descriptor.fields
    )
