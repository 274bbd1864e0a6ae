"""A column and the field that carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cartsnitch_common.convert.codecs import Codec
    from cartsnitch_common.convert.shapes import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A column and the field that carries it.

    Attributes:
        column: The column's name, which is also the attribute's.
        field: The field's name.
        nullable: Whether NULL, which is an unset field, is allowed.
        shape: What both hold together.
        type: The column's type.
        descriptor: The field's descriptor.
        codec: What converts a value that is not NULL, and says why it cannot.
    """

    column: str
    field: str
    nullable: bool
    shape: Shape
    type: Any
    descriptor: Any
    codec: Codec
