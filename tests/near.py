"""Values near every edge of the contract's rules, by field."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import FieldDescriptor

from cartsnitch_common.contract.accepting import is_flat
from tests.sound import sound_value

# Right, almost right and wrong, for every rule of a text that the contract has.
NEAR_TEXTS = [
    *("", "\x00", "a\x00b", "\n", "x" * 16, "x" * 17, "x" * 128, "x" * 129, "x" * 500, "x" * 501),
    *("\u00e9" * 64, "\u00e9" * 65, "\u0660", "\U0001f34c" * 32, "\U0001f34c" * 33),
    "01990000-0000-7000-8000-00000000000a",
    "01990000-0000-7000-8000-00000000000A",
    "01990000-0000-7000-8000-00000000000a\n",
    "01990000-0000-7000-8000-00000000000",
    "019900000000700080000000000000aa",
    "\u0660" * 8 + "-0000-7000-8000-00000000000a",
    *("ada@parent.example", "a b@c.example", "ada@", "@c", "a@-c.example", "A+b@c", "a@b..c"),
    *(
        "USD",
        "usd",
        "EUR",
        "USD\n",
        "0",
        "-0",
        "0.0",
        "-0.00",
        "1.5",
        "01",
        "1.",
        ".5",
        "+1",
        "1e3",
    ),
    *("0.0001", "0.00010000", "0.00001", "1.0000", "1.0001", "100", "100.0", "100.01", "99.999"),
    *("123456789", "1234567890", "12345678901", "999999999999999999", "0.1234567890", "-1.234"),
    *(
        "0.120",
        "0.1230",
        "1.2345",
        "4011",
        "40111",
        "401112",
        "036000291452",
        "4011\n",
        "\u0664011",
    ),
    *("https://a.example/\u00e9", "https://a", "https://", "ftp://a", "http://a b", "https://a\n"),
    *(
        "MI",
        "mi",
        "MIX",
        "48103",
        "48103-1234",
        "48103-",
        "cartsnitch.a",
        "cartsnitch.",
        "api",
        "Api",
    ),
    "00-" + "a" * 32 + "-" + "b" * 16 + "-01",
    "00-" + "A" * 32 + "-" + "b" * 16 + "-01",
]
NEAR_WHOLE = [
    *(0, 1, -1, 2, 3, 4, 77, 499, 500, 501, 999, 1000, 10_000, 99_999, 100_000, -100_000),
    *(9_999_999, 10_000_000, -10_000_000, 490_000_000, 999_900_000, 990_000_000, 999_999_000),
    *(999_999_999, 1_000_000_000, -999_999_999, -1_000_000_000),
]
NEAR_SECONDS = [-62_135_596_800, -62_135_596_801, 253_402_300_799, 253_402_300_800]
NEAR_FLOATS = [0.0, -0.0, 90.0, 90.00001, -90.0, 180.0, 180.1, 1e308, float("inf"), float("nan")]


def names_of(kind: Any) -> list[str]:
    return [field.name for field in kind.DESCRIPTOR.fields]


def candidates(field: Any) -> list[Any]:
    """Values near every edge of a field; None is unset."""
    if field.type == FieldDescriptor.TYPE_MESSAGE and is_flat(field.message_type):
        kind = message_factory.GetMessageClass(field.message_type)
        parts = [_scalars(part) for part in field.message_type.fields]
        values = [None, kind(), *_combined(kind, parts)]
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        values = [None, message_factory.GetMessageClass(field.message_type)()]
    else:
        values = [None, *_scalars(field)]
    if not field.is_repeated:
        return values
    some = [value for value in values if value is not None]
    sizes = [0, 1, 2, 100, 101, 500, 501]
    right = sound_value(field.containing_type.name, field)
    numbered = [[f"{number:05}" for number in range(size)] for size in sizes]
    texts = numbered if field.type == FieldDescriptor.TYPE_STRING else []
    return [[one] for one in some] + [right * size for size in sizes] + texts


def _combined(kind: Any, parts: list[list[Any]]) -> list[Any]:
    names = names_of(kind)
    every = math.prod(len(part) for part in parts)
    if every <= 1500:
        chosen = itertools.product(*parts)
    else:
        chance = random.Random(names[0])  # noqa: S311 - the same values each time
        chosen = (tuple(chance.choice(part) for part in parts) for _ in range(1500))
    return [kind(**dict(zip(names, one, strict=True))) for one in chosen]


def _scalars(field: Any) -> list[Any]:
    match (field.type, field.name):
        case (_, "currency_code"):
            return ["USD", "USD", "USD", "EUR", "usd", ""]
        case (_, "month"):
            return [0, 1, 2, 3, 4, 6, 9, 11, 12, 13]
        case (_, "day"):
            return [0, 1, 27, 28, 29, 30, 31, 32]
        case (_, "year"):
            return [0, 1, 1900, 2000, 2023, 2024, 9999, 10_000]
        case (_, "units"):
            return [*(-1, 0, 1, 2, 99_999_999, 100_000_000, 9_999_999_999, 10_000_000_000)]
        case (_, "seconds"):
            return [0, 1, -1, *NEAR_SECONDS]
        case (FieldDescriptor.TYPE_STRING, _):
            return NEAR_TEXTS
        case (FieldDescriptor.TYPE_DOUBLE, _):
            return NEAR_FLOATS
        case (FieldDescriptor.TYPE_BOOL, _):
            return [True, False]
        case _:
            return NEAR_WHOLE
