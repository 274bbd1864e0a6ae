"""The values of the golden vectors' fields: usual ones, the largest, the lowest."""

from __future__ import annotations

import uuid
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG: Final = 200
"""The length of a text that has no limit, and the most elements that a vector repeats."""


class Size(Enum):
    """Which of the values that the rules allow."""

    FULL = auto()
    EXTREME = auto()
    LOWEST = auto()


# By pattern: a usual value, the longest or largest, the shortest or lowest.
PATTERNS: Final = {
    r"^([0-9]{4,5}|[0-9]{8}|[0-9]{12,14})$": ("012345678905", "99999999999999", "0000"),
    r"^[A-Z]{2}$": ("MI", "ZZ", "AA"),
    r"^[A-Z]{3}$": ("USD", "USD", "USD"),
    r"^[0-9]{5}(-[0-9]{4})?$": ("48104", "99999-9999", "00000"),
    r"^[a-z][a-z0-9_]*$": ("receiptwitness", "z" * 64, "a"),
    r"^cartsnitch(\.[a-z][a-z0-9_]*)+$": (
        "cartsnitch.prices.updated",
        "cartsnitch." + "z" * 117,
        "cartsnitch.a",
    ),
    r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$": (
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "-".join("f" * count for count in (2, 32, 16, 2)),
        "-".join("0" * count for count in (2, 32, 16, 2)),
    ),
}
URL: Final = "^https?://[!-~]+$"
EARLIER: Final = ("from_date", "since_date", "valid_from", "previous_date")
# The year, the month, and the earlier of the two days in it that are used.
DAYS: Final = {
    Size.FULL: (2026, 3, 9),
    Size.EXTREME: (9999, 12, 30),
    Size.LOWEST: (1, 1, 1),
}
# What may be said at most, then at the precision and in the range of some columns.
TIMES: Final = {
    Size.FULL: [(1_773_153_000, 123_456_000)],
    Size.EXTREME: [(253_402_300_799, 999_999_999), (253_402_300_799, 999_999_000)],
    Size.LOWEST: [(-62_135_596_800, 0)],
}
AMOUNTS: Final = {
    Size.FULL: [(3, 490_000_000)],
    Size.EXTREME: [
        (9_999_999_999, 999_999_999),
        (9_999_999_999, 990_000_000),
        (99_999_999, 999_900_000),
    ],
    Size.LOWEST: [(-9_999_999_999, -999_999_999), (-9_999_999_999, -990_000_000), (0, 0)],
}
NUMBERS: Final = {
    Size.FULL: ["2.50", "0.8125"],
    Size.EXTREME: [
        f"{'9' * 18}.{'9' * 9}",
        f"{'9' * 18}.9999",
        "9999999999.99",
        "999999999.999",
        "1.0000",
    ],
    Size.LOWEST: [f"-{'9' * 18}.{'9' * 9}", "-999999999.999", "0"],
}


def sized[N: (int, float)](size: Size, usual: N, limits: Any) -> N:
    """A number, by the limits in its rule."""
    values: dict[Size, N] = {Size.EXTREME: limits.lte, Size.LOWEST: limits.gte}
    return values.get(size, usual)


def scalars(kind: type[Any], size: Size, field: Any) -> Iterator[Any]:
    """Candidates for a message that is one value, the best first; the field's rules choose."""
    match kind.DESCRIPTOR.name:
        case "Money":
            for units, nanos in AMOUNTS[size]:
                yield kind(currency_code="USD", units=units, nanos=nanos)
        case "Decimal":
            for number in NUMBERS[size]:
                yield kind(value=number)
        case "Date":
            year, month, day = DAYS[size]
            earlier = field is not None and field.name in EARLIER
            yield kind(year=year, month=month, day=day if earlier else day + 1)
        case _:
            for seconds, nanos in TIMES[size]:
                yield kind(seconds=seconds, nanos=nanos)


def text(name: str, rules: Any, size: Size, index: int) -> str:
    """A text by its field's name and rules; ``index`` tells the elements of a list apart."""
    if rules.uuid:
        # By name, so that two ids of a message differ, and the same on every machine.
        return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.{size.name}.{index}"))
    limit: int = rules.max_len or LONG
    if rules.uri or rules.pattern == URL:
        start = "https://shop.example/"
        long = start + "p" * (limit - len(start))
        return {Size.FULL: f"{start}{name}?id=1", Size.EXTREME: long, Size.LOWEST: "http://a"}[size]
    if rules.pattern:
        value = PATTERNS[rules.pattern][list(Size).index(size)]
        return f"{value[:-1]}{index}" if index else value
    if rules.email:
        # The longest local part, and labels of the longest length up to the limit.
        long = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * (limit - 65 - 128)}"
        return {Size.FULL: "ada@mail.example", Size.EXTREME: long, Size.LOWEST: "a@b"}[size]
    # In UTF-8 two bytes, three, and four; the last is one character but two units in UTF-16.
    usual = f"{name.replace('_', ' ')} {index} é € 🛒"[-limit:]
    long = "a" * (limit - 1) + "🛒"
    return {Size.FULL: usual, Size.EXTREME: long, Size.LOWEST: "a" * int(rules.min_len)}[size]


def bad_text(rules: Any) -> str:
    """A text that the rules refuse: one character too long where only the length is ruled."""
    if rules.max_len and not (rules.pattern or rules.uri or rules.email):
        return "a" * int(rules.max_len) + "🛒"
    return "?"
