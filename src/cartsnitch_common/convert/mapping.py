"""One declaration an aggregate, from which both directions and the SQL follow.

A :class:`Mapping` pairs each column with a field. It is told only what cannot be
derived: which names differ, which columns are private and which fields have no
column. What converts a pair follows from the column's type and the field's.

Each direction has two ways. The fast one is generated on first use and declines what
it is not sure of; the slow one goes through the pairs and says what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import inspect
from sqlalchemy.orm.base import NO_VALUE, PASSIVE_NO_FETCH, PASSIVE_NO_RESULT

from cartsnitch_common.contract import check
from cartsnitch_common.contract.twins import twin_of
from cartsnitch_common.convert import binary
from cartsnitch_common.convert.codecs import codec_for
from cartsnitch_common.convert.pairs import Pair
from cartsnitch_common.convert.pieces import WIRE
from cartsnitch_common.convert.projection import scalars
from cartsnitch_common.convert.readers import build_copy_reader, build_values_reader
from cartsnitch_common.convert.shapes import shape_of
from cartsnitch_common.convert.wire import build_record_encoder, build_row_writer
from cartsnitch_common.errors import UnmappableValueError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from google.protobuf.message import Message
    from sqlalchemy import ColumnElement

    from cartsnitch_common.convert.readers import CopyReader, ValuesReader
    from cartsnitch_common.convert.wire import RecordEncoder, RowWriter
    from cartsnitch_common.db.models import Base

DECLINED: Final = (KeyError, TypeError, ValueError, AttributeError, OverflowError)
"""What generated code raises for a value that it does not like; the slow way says why."""


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
            if column.nullable and not descriptor.has_presence:
                raise TypeError(f"{name} cannot be unset, but {column.key} may be NULL")
            pairs.append(
                Pair(
                    column=column.key,
                    field=name,
                    nullable=bool(column.nullable),
                    shape=shape_of(column.type, descriptor),
                    type=column.type,
                    descriptor=descriptor,
                    codec=codec_for(column.type, descriptor),
                )
            )
        if fields:
            raise TypeError(f"{self.message.__name__} has fields without a column: {set(fields)}")
        return tuple(pairs)

    @cached_property
    def scalars(self) -> list[ColumnElement[Any]]:
        """What a SELECT of messages reads; to make it anew takes a tenth of a short query."""
        return scalars(self.row, self.pairs)

    @cached_property
    def write_row(self) -> RowWriter:
        """From a row's attributes to the text of its bytes; raises one of DECLINED, or knows."""
        return build_row_writer(self.row.__name__, self.pairs)

    @cached_property
    def _encode_records(self) -> RecordEncoder:
        return build_record_encoder(self.row.__name__, self.pairs)

    @cached_property
    def _twin(self) -> type[Message]:
        return twin_of(self.message.DESCRIPTOR)

    @cached_property
    def _read_values(self) -> ValuesReader:
        built = build_values_reader(
            self.row.__name__, self.message.DESCRIPTOR, self.pairs, self.derived
        )
        return built if built is not None else lambda _: None

    @cached_property
    def _read_copy(self) -> CopyReader:
        built = build_copy_reader(
            self.row.__name__, self.message.DESCRIPTOR, self.pairs, self.derived
        )
        return built if built is not None else lambda _: None

    @property
    def children(self) -> Mapping[Any, Any] | None:
        """The mapping of the rows that a message carries beside its own, or None."""
        return None

    def copy_children(self, message: M) -> list[bytes]:
        """The children's rows in a binary COPY; raises as :meth:`copy_row`."""
        del message
        return []

    def to_message(self, row: R) -> M:
        """Render a row as a message. Loads nothing.

        Raises:
            UnmappableValueError: The row holds a value that the contract cannot
                carry, or NULL where the contract wants a value, as a row that was
                not written yet does, or an attribute was not loaded.
        """
        return self.message.FromString(self.encode_row(row))

    def encode_row(self, row: R) -> bytes:
        """The bytes of a row's message; raises as :meth:`to_message`."""
        try:
            return self.write_row(row.__dict__).encode(WIRE)
        except DECLINED:
            pass  # and is no context of the slow way's error: it may print a value
        return self._slow_message(row).SerializeToString()

    def encode_records(self, records: Sequence[Any]) -> list[bytes]:
        """The bytes of messages by records of :attr:`scalars`.

        Raises:
            UnmappableValueError: A record holds a value that the contract cannot carry.
        """
        try:
            return self._encode_records(records)
        except DECLINED as error:
            raise self._misfit(records, error) from None

    def from_message(self, message: M) -> R:
        """Make a row of a message. The row belongs to no session.

        Raises:
            InvalidFieldError: The message breaks a rule of the contract.
            UnmappableValueError: It holds a value that the column cannot hold.
        """
        return self.row(**self.values(message))

    def values(self, message: M) -> dict[str, Any]:
        """The values of the mapped columns by their names.

        Raises:
            InvalidFieldError: The message breaks a rule of the contract.
            UnmappableValueError: A value is one that the column cannot hold.
        """
        values = self.read_twin(self.twin(message))
        return values if values is not None else self._slow_values(message)

    def twin(self, message: M) -> Message:
        """The message's twin; see ``twins.py``."""
        return self._twin.FromString(message.SerializeToString())

    def read_twin(self, twin: Message) -> dict[str, Any] | None:
        """The values by the twin; None where the message is to be asked itself."""
        try:
            return self._read_values(twin)
        except DECLINED:
            return None

    def read_twins(self, twins: Iterable[Message]) -> list[dict[str, Any]] | None:
        """The values by each twin; None where one message is to be asked itself."""
        read = self._read_values
        try:
            found = [read(twin) for twin in twins]
        except DECLINED:
            return None
        return cast("list[dict[str, Any]]", found) if all(found) else None

    def copy_row(self, message: M) -> bytes:
        """The message's row in a binary COPY of the mapped columns, in the pairs' order.

        Raises:
            InvalidFieldError: The message breaks a rule of the contract.
            UnmappableValueError: A value is one that the column cannot hold.
        """
        try:
            row = self._read_copy(self.twin(message))
        except DECLINED:
            row = None
        return row if row is not None else self._slow_copy_row(message)

    def _slow_message(self, row: R) -> M:
        message = self.message()
        state: Any = inspect(row)
        for pair in self.pairs:
            attribute = state.manager[pair.column].impl
            value = attribute.get(state, row.__dict__, passive=PASSIVE_NO_FETCH)
            if value is PASSIVE_NO_RESULT:
                raise UnmappableValueError(pair.field, "is not loaded in the row")
            if value is None or value is NO_VALUE:
                if not pair.nullable:
                    raise UnmappableValueError(pair.field, "is not set in the row")
                continue
            try:
                pair.codec.write(message, pair.field, value)
            except (ValueError, TypeError) as error:
                raise UnmappableValueError(pair.field, str(error)) from None
        return message

    def _slow_values(self, message: M) -> dict[str, Any]:
        check(message)
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

    def _slow_copy_row(self, message: M) -> bytes:
        values = self._slow_values(message)
        fields = [
            binary.NULL if values[pair.column] is None else binary.FIELDS[pair.shape](value)
            for pair in self.pairs
            for value in (values[pair.column],)
        ]
        return binary.row_header(len(fields)) + b"".join(fields)

    def _misfit(self, records: Sequence[Any], error: Exception) -> Exception:
        """Which value of which record the encoder did not like."""
        for record in records:
            for place, pair in enumerate(self.pairs):
                if record[place] is None and not pair.nullable:
                    return UnmappableValueError(pair.field, "is not set in the row")
                only = build_record_encoder(self.row.__name__, [pair])
                try:
                    only([(record[place],)])
                except DECLINED as reason:
                    return UnmappableValueError(pair.field, str(reason))
        return error
