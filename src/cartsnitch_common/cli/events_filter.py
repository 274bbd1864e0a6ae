"""Which events `cartsnitch events tail` shows: by key and by fields of the JSON form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from cartsnitch.event.v1 import Envelope
from cartsnitch_common.contract import bindings
from cartsnitch_common.errors import InvalidFieldError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cartsnitch_common.constants import EventType

_OPTION: Final = "--where"
_PAYLOAD: Final = "payload"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A field that must hold a value.

    Attributes:
        path: Its names, from the root of the JSON form: ``("payload", "store")``.
        value: The value as text: a number as JSON writes it, ``true`` or ``false``.
    """

    path: tuple[str, ...]
    value: str

    @classmethod
    def parse(cls, text: str, channels: Collection[EventType]) -> Self:
        """Read ``payload.observations.source=PRICE_SOURCE_RECEIPT``.

        Raises:
            InvalidFieldError: It has no ``=``, or no event of the channels has the field.
        """
        name, sign, value = text.partition("=")
        path = tuple(name.split("."))
        if not sign or not name.isascii():
            raise InvalidFieldError(_OPTION, "must be a field's path, = and a value")
        kinds = [binding.payload for binding in bindings() if binding.event_type in channels]
        if not any(_exists(path, kind.DESCRIPTOR) for kind in kinds):
            raise InvalidFieldError(_OPTION, "names a field that no event of the channels has")
        return cls(path=path, value=value)

    def holds(self, value: Any) -> bool:
        """Whether the JSON form has the value at the path, in one element of each list."""
        return self.value in map(_text, _found(value, self.path))


def _exists(path: tuple[str, ...], payload: Any) -> bool:
    step: Any = Envelope.DESCRIPTOR
    if path[0] == _PAYLOAD:
        step, path = payload, path[1:]
    if not path:
        return False
    for name in path:
        field = None if step is None else step.fields_by_name.get(name)
        if field is None:
            return False
        step = field.message_type
    return True


def _found(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _found(item, path)
    elif not path:
        yield value
    elif isinstance(value, dict) and path[0] in value:
        yield from _found(value[path[0]], path[1:])


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
