"""One declaration an aggregate, from which both directions follow.

A :class:`Mapping` pairs each column with a field. It is told only what cannot be
derived: which names differ, which columns are private and which fields have no
column. The codec of a pair follows from the column's type and the field's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect

from cartsnitch_common.contract import check
from cartsnitch_common.convert.codecs import Codec, codec_for
from cartsnitch_common.errors import UnmappableValueError

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from cartsnitch_common.db.models import Base


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A column and the field that carries it.

    Attributes:
        column: The column's name, which is also the attribute's.
        field: The field's name.
        nullable: Whether NULL, which is an unset field, is allowed.
        codec: What converts a value that is not NULL.
    """

    column: str
    field: str
    nullable: bool
    codec: Codec


@dataclass(frozen=True, kw_only=True)
class Mapping[R: Base, M: Message]:
    """Which column of a model is which field of a message.

    Attributes:
        row: The model.
        message: The class of the message.
        renamed: The field's name by the column's, where they differ.
        private: The columns that never become a message, each with its reason.
        derived: The fields that have no column, each with what fills them.
    """

    row: type[R]
    message: type[M]
    renamed: dict[str, str] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)
    derived: dict[str, str] = field(default_factory=dict)

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every mapped column with its field.

        Raises:
            TypeError: A column or a field is left undecided, or a column may be
                NULL where the field cannot be unset.
        """
        fields: dict[str, Any] = dict(self.message.DESCRIPTOR.fields_by_name)
        for name in self.derived:
            del fields[name]
        pairs = []
        for column in inspect(self.row).columns:
            if column.key in self.private:
                continue
            name = self.renamed.get(column.key, column.key)
            descriptor = fields.pop(name, None)
            if descriptor is None:
                raise TypeError(f"{self.row.__name__}.{column.key} has no field {name}")
            codec = codec_for(column.type, descriptor)
            if column.nullable and not descriptor.has_presence:
                raise TypeError(f"{name} cannot be unset, but {column.key} may be NULL")
            pairs.append(
                Pair(column=column.key, field=name, nullable=bool(column.nullable), codec=codec)
            )
        if fields:
            raise TypeError(f"{self.message.__name__} has fields without a column: {set(fields)}")
        return tuple(pairs)

    def to_message(self, row: R) -> M:
        """Render a row as a message. Loads nothing.

        Raises:
            UnmappableValueError: The row holds a value that the contract cannot
                carry, or NULL where the contract wants a value, as a row that was
                not written yet does.
        """
        message = self.message()
        for pair in self.pairs:
            value = getattr(row, pair.column)
            if value is None:
                if not pair.nullable:
                    raise UnmappableValueError(pair.field, "is not set in the row")
                continue
            try:
                pair.codec.write(message, pair.field, value)
            except (ValueError, TypeError) as error:
                raise UnmappableValueError(pair.field, str(error)) from None
        return message

    def from_message(self, message: M) -> R:
        """Make a row of a message. The row belongs to no session.

        Raises:
            InvalidFieldError: The message breaks a rule of the contract.
            UnmappableValueError: It holds a value that the column cannot hold.
        """
        check(message)
        return self.row(**self.values(message))

    def values(self, message: M) -> dict[str, Any]:
        """The values of the mapped columns, unchecked against the rules.

        Raises:
            UnmappableValueError: A value is one that the column cannot hold.
        """
        values: dict[str, Any] = {}
        for pair in self.pairs:
            if pair.codec.presence and not message.HasField(pair.field):
                if not pair.nullable:
                    raise UnmappableValueError(pair.field, "is not set")
                values[pair.column] = None
                continue
            try:
                values[pair.column] = pair.codec.read(getattr(message, pair.field))
            except (ValueError, TypeError) as error:
                raise UnmappableValueError(pair.field, str(error)) from None
        return values
