"""What must hold whatever has failed: the invariants I1 to I7, judged by the books."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

type ByKey = dict[str, list[str]]
"""Event ids in order, by key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What was found when all was quiet.

    Attributes:
        ledger: The committed events, in the order in which those of a key committed.
        poison: Those of them that no handler can handle; and the entries of a stream that do
            not decode, by their ids there.
        effects: The events that took effect, once for each effect, in that order.
        letters: The dead letters: event ids, or ids of entries that do not decode.
        wire: The events on the stream, as often as they are there.
        waiting: Rows left in the outbox.
        pending: Entries delivered and not acknowledged.
        lag: Entries that were not delivered.
        leaks: What processes and servers were left with that they should not have.
        duplicates: Deliveries that the inbox knew already.
    """

    ledger: ByKey = field(default_factory=dict)
    poison: frozenset[str] = frozenset()
    effects: ByKey = field(default_factory=dict)
    letters: tuple[str, ...] = ()
    wire: tuple[str, ...] = ()
    waiting: int = 0
    pending: int = 0
    lag: int = 0
    leaks: tuple[str, ...] = ()
    duplicates: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How often each invariant is broken; all zeros when none is.

    Attributes:
        events: How many events were committed.
        lost: I1: committed, and without effect.
        undone: I2: heard of, and never committed.
        doubled: I3: effects beyond an event's first.
        inverted: I4: effects before that of an earlier event of their key.
        left: I5: in the outbox, pending, or not delivered.
        misburied: I5: dead letters that are no poison, and poison that is no dead letter.
        leaks: I6: connections, files, memory.
        repeated: I7: events on the wire beyond their first time.
    """

    events: int
    lost: int
    undone: int
    doubled: int
    inverted: int
    left: int
    misburied: int
    leaks: tuple[str, ...]
    repeated: int

    @property
    def broken(self) -> list[str]:
        """The invariants that are broken, in words."""
        counts = {
            "I1 lost": self.lost,
            "I2 not committed, yet heard of": self.undone,
            "I3 effects twice": self.doubled,
            "I4 out of order": self.inverted,
            "I5 left behind": self.left,
            "I5 dead letters that are no poison, or none that is": self.misburied,
        }
        broken = [f"{name}: {count}" for name, count in counts.items() if count]
        return broken + [f"I6 leak: {leak}" for leak in self.leaks]


def judge(books: Books) -> Verdict:
    """Judge the books."""
    committed = {event for events in books.ledger.values() for event in events}
    owed = committed - books.poison
    effects = Counter(event for events in books.effects.values() for event in events)
    letters = Counter(books.letters)
    heard = effects.keys() | (letters.keys() - books.poison) | set(books.wire)
    return Verdict(
        events=len(committed),
        lost=len(owed - effects.keys() - letters.keys()),
        undone=len(heard - committed - books.poison),
        doubled=sum(effects.values()) - len(effects),
        inverted=sum(
            _inversions(events, books.effects.get(key, [])) for key, events in books.ledger.items()
        ),
        left=books.waiting + books.pending + books.lag,
        misburied=len(letters.keys() ^ books.poison)
        + sum(letters.values())
        - len(letters)
        + len(effects.keys() & books.poison),
        leaks=books.leaks,
        repeated=len(books.wire) - len(set(books.wire)),
    )


def _inversions(committed: list[str], effects: list[str]) -> int:
    """How many events took effect after a later one of their key had."""
    place = {event: number for number, event in enumerate(committed)}
    latest, inversions = -1, 0
    for event in dict.fromkeys(effects):  # of an event that took effect twice the first counts
        at = place.get(event)
        if at is None:
            continue
        if at < latest:
            inversions += 1
        latest = max(latest, at)
    return inversions
