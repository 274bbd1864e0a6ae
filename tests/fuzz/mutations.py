"""Envelopes that are spoilt at random: the same ones for the same seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cartsnitch.event.v1 import Envelope
from tests.fuzz.samples import sound_bytes
from tests.fuzz.wire import FIXED32, FIXED64, LENGTH, VARINT, number, tag, text, varint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

FIELDS = [field.number for field in Envelope.DESCRIPTOR.fields]
TEXTS = [b"", b"\0", b"\xff\xfe", b"cartsnitch.prices.updated", b"k" * 129, "ß\u202e".encode()]
NUMBERS = [0, 1, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1, 2**70]
TOKENS = [b"{", b"}", b"[", b"]", b'"', b"null", b"1e999", b"-0", b"\\ud800", b"NaN", b"{}" * 3]


def generated(random: Random) -> Iterator[bytes]:
    """Bytes near an envelope, without an end."""
    sound = sound_bytes()
    ways = [_flip, _cut, _repeat, _splice, _grow, _overwrite]
    while True:
        if random.random() < 0.2:
            yield _made_up(random, 3)
            continue
        data = bytearray(random.choice(sound))
        for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
            random.choice(ways)(random, data, sound)
        yield bytes(data)


def _place(random: Random, data: bytearray) -> int:
    return random.randint(0, len(data))


def _flip(random: Random, data: bytearray, _: list[bytes]) -> None:
    if data:
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _cut(random: Random, data: bytearray, _: list[bytes]) -> None:
    start = _place(random, data)
    del data[start : start + random.choice((1, 2, 8, 1000))]


def _repeat(random: Random, data: bytearray, _: list[bytes]) -> None:
    start = _place(random, data)
    data[start:start] = data[start : start + random.randint(1, 64)] * random.choice((1, 2, 500))


def _splice(random: Random, data: bytearray, sound: list[bytes]) -> None:
    data[_place(random, data) :] = random.choice(sound)[random.randint(0, 400) :]


def _grow(random: Random, data: bytearray, _: list[bytes]) -> None:
    start = _place(random, data)
    data[start:start] = random.choice(
        (
            random.randbytes(random.randint(1, 16)),
            varint(random.choice(NUMBERS)),
            random.choice(TEXTS),
            random.choice(TOKENS),
            _made_up(random, 2),
        )
    )


def _overwrite(random: Random, data: bytearray, _: list[bytes]) -> None:
    start = _place(random, data)
    some = random.randbytes(random.randint(1, 8))
    data[start : start + len(some)] = some


def _made_up(random: Random, depth: int) -> bytes:
    """Fields with the numbers of an envelope or any other, of any type, and anything in them."""
    parts = []
    for _ in range(random.randint(0, 12)):
        field = random.choice(FIELDS) if random.random() < 0.8 else random.randint(0, 2**29)
        match random.choice((VARINT, FIXED64, LENGTH, LENGTH, LENGTH, FIXED32, 3, 4, 7)):
            case 0:
                parts.append(number(field, random.choice(NUMBERS)))
            case 1:
                parts.append(tag(field, FIXED64) + random.randbytes(8))
            case 2:
                inner = random.choice(TEXTS) if random.random() < 0.5 or not depth else b""
                parts.append(text(field, inner or _made_up(random, max(0, depth - 1))))
            case 5:
                parts.append(tag(field, FIXED32) + random.randbytes(4))
            case other:
                parts.append(tag(field, other))
    return b"".join(parts)
