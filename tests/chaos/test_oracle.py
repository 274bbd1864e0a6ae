from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.oracle import Books, judge

GOOD = Books(
    ledger={"a": ["a1", "a2", "a3", "bad"], "b": ["b1", "b2"]},
    poison=frozenset({"bad", "7-0"}),
    effects={"a": ["a1", "a2", "a3"], "b": ["b1", "b2"]},
    letters=("bad", "7-0"),
    wire=("a1", "b1", "a2", "a1", "a2", "a3", "bad", "b2"),
)

BROKEN = {
    "a lost event": ({"effects": {"a": ["a1", "a3"], "b": ["b1", "b2"]}}, "I1"),
    "all of a key lost": ({"effects": {"a": ["a1", "a2", "a3"]}}, "I1"),
    "an effect of what was undone": (
        {"effects": GOOD.effects | {"c": ["undone"]}},
        "I2",
    ),
    "what was undone on the wire": ({"wire": (*GOOD.wire, "undone")}, "I2"),
    "an effect twice": ({"effects": {"a": ["a1", "a2", "a2", "a3"], "b": ["b1", "b2"]}}, "I3"),
    "two events of a key exchanged": (
        {"effects": {"a": ["a2", "a1", "a3"], "b": ["b1", "b2"]}},
        "I4",
    ),
    "an event long after its key's others": (
        {"effects": {"a": ["a2", "a3", "a1"], "b": ["b1", "b2"]}},
        "I4",
    ),
    "a row in the outbox": ({"waiting": 1}, "I5"),
    "an entry pending": ({"pending": 1}, "I5"),
    "an entry not delivered": ({"lag": 1}, "I5"),
    "a good event buried": ({"letters": ("bad", "7-0", "a3")}, "I5"),
    "poison not buried": ({"letters": ("bad",)}, "I5"),
    "poison buried twice": ({"letters": ("bad", "bad", "7-0")}, "I5"),
    "an effect of poison": ({"effects": {**GOOD.effects, "a": ["a1", "a2", "a3", "bad"]}}, "I5"),
    "a connection left": ({"leaks": ("1 connection",)}, "I6"),
}


def test_sound_books_break_no_invariant() -> None:
    """Events twice on the wire are counted and break nothing."""
    verdict = judge(GOOD)
    assert verdict.broken == []
    assert verdict.events == 6
    assert verdict.repeated == 2


@pytest.mark.parametrize("name", BROKEN)
def test_each_way_to_be_wrong_is_seen(name: str) -> None:
    """The oracle names the invariant that is broken, for each way to break one."""
    changes, invariant = BROKEN[name]
    broken = judge(replace(GOOD, **changes)).broken
    assert [line[:2] for line in broken] == [invariant], broken
