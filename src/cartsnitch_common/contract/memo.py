"""Remembers what a pure function made, within a bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LIMIT: Final = 4096
"""Values of one field that are kept: a store has fewer prices. About 0.5 MB."""


class Memo[K, V](dict[K, V]):
    """A dictionary that makes what it does not hold, and forgets all when it is full.

    Forgetting all at once costs nothing at a hit, which is where the time goes: prices,
    dates and quantities repeat. Values that never repeat cost a tenth more than no memo.
    """

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[K], V]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: K) -> V:
        return _keep(self, key, self._make(key))


def remembered[K, V](make: Callable[[K], V]) -> Callable[[K], V]:
    """The function, with a memory for what it made.

    It is called and not looked up by brackets: those ask a subclass of dict by name for its
    own way to look up, which costs as much as the finding.
    """
    return Memo(make).__getitem__


def memory[K, V](make: Callable[[K], V]) -> tuple[dict[K, V], Callable[[K], V]]:
    """What ``remembered`` gives, and the plain dictionary behind it.

    Generated code looks it up by brackets, at a third of the cost of a call, and calls where
    that raises KeyError.
    """
    known: dict[K, V] = {}

    def look_up(key: K) -> V:
        try:
            return known[key]  # in one step: another thread may have all forgotten in the next
        except KeyError:
            pass
        return _keep(known, key, make(key))

    return known, look_up


def _keep[K, V](known: dict[K, V], key: K, made: V) -> V:
    """Remember what was made, in place of all else where that is enough."""
    if len(known) >= _LIMIT:
        known.clear()
    known[key] = made
    return made
