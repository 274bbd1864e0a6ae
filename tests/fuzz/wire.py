"""Protobuf's wire format by hand, to write what no encoder would."""

from __future__ import annotations

VARINT, FIXED64, LENGTH, GROUP, END_GROUP, FIXED32 = range(6)


def varint(number: int) -> bytes:
    """A whole number from 0 on, as long as it takes."""
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*data, number])


def tag(field: int, wire_type: int) -> bytes:
    return varint(field << 3 | wire_type)


def text(field: int, value: bytes) -> bytes:
    """A string, bytes or message."""
    return tag(field, LENGTH) + varint(len(value)) + value


def number(field: int, value: int) -> bytes:
    return tag(field, VARINT) + varint(value)
