"""Which changes of ``buf.validate`` rules refuse what was accepted before.

A rule that this module does not know counts as tightened when it is new or different: an
unknown rule must not open a hole in the gate.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PREFIX: Final = "(buf.validate."
_LEAST: Final = frozenset({"min_len", "min_bytes", "min_items", "min_pairs"})
_MOST: Final = frozenset({"max_len", "max_bytes", "max_items", "max_pairs"})
_BOUNDS: Final = frozenset({"gt", "gte", "lt", "lte"})
# From the strictest to the loosest.
_IGNORE: Final = ("IGNORE_UNSPECIFIED", "IGNORE_IF_ZERO_VALUE", "IGNORE_ALWAYS")
# For people: a violation's text, and examples. Clients know a rule by its id.
_WORDS: Final = re.compile(r"\.cel\[.*\]\.message$|\.example$")

type Rules = Mapping[str, Any]


class Change(NamedTuple):
    """One rule that differs.

    Attributes:
        tightened: Whether a value that passed may now fail.
        text: The rule, before and after.
    """

    tightened: bool
    text: str


def changes(before: Rules, after: Rules) -> Iterator[Change]:
    """Compare the rules of one element, given among its flat options."""
    old, new = _rules(before), _rules(after)
    for path in sorted({_parent(path) for path in old | new if _last(path) in _BOUNDS}):
        yield from _range(path, old, new)
    for path in sorted(old | new):
        if _last(path) in _BOUNDS or old.get(path) == new.get(path):
            continue
        # With a CEL rule that comes or goes, its words do as well.
        if not _WORDS.search(path) or (path in old and path in new):
            yield _one(path, old.get(path), new.get(path))


def _rules(options: Rules) -> dict[str, Any]:
    """Pick the rules; one that is switched off is none, but ``const: false`` is one."""
    return {
        path: value
        for path, value in options.items()
        if path.startswith(PREFIX)
        and (value is not False or _last(path) == "const")
        and not path.endswith("].id")  # stands in the path before
    }


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _text(path: str, old: object, new: object) -> str:
    if old is None:
        return f"{path} is new: {new!r}"
    if new is None:
        return f"{path} is gone, it was {old!r}"
    return f"{path} was {old!r} and is {new!r}"


def _one(path: str, old: Any, new: Any) -> Change:  # noqa: PLR0911 - one line a kind of rule
    text, last = _text(path, old, new), _last(path)
    if _WORDS.search(path):
        return Change(tightened=False, text=text)
    if last in _LEAST:
        return Change(tightened=(new or 0) > (old or 0), text=text)
    if last in _MOST:
        return Change(tightened=new is not None and (old is None or new < old), text=text)
    if last == "ignore":
        return Change(tightened=_leniency(new) < _leniency(old), text=text)
    if new is None:
        return Change(tightened=False, text=text)
    if last == "in":
        return Change(tightened=old is None or not set(new) >= set(old), text=text)
    if last == "not_in" or _is_list(new):
        return Change(tightened=not set(new) <= set(old or ()), text=text)
    return Change(tightened=True, text=text)


def _is_list(value: object) -> bool:
    """Tell a list of rules from a duration or a point in time, which is a pair of numbers."""
    return isinstance(value, tuple) and all(isinstance(part, str) for part in value)


def _leniency(value: str | None) -> int:
    """Rank an ``ignore``; one that is not known is the strictest, as its absence."""
    return _IGNORE.index(value) if value in _IGNORE else 0


def _range(path: str, old: Rules, new: Rules) -> Iterator[Change]:
    """Compare the two ends of a range: greater than 0 is tighter than at least 0."""
    before, after = _ends(path, old), _ends(path, new)
    if before == after:
        return
    if _inverted(before) or _inverted(after):
        yield Change(tightened=True, text=f"{path}: its range, which excludes its middle, differs")
        return
    for index, names in enumerate((("gt", "gte"), ("lt", "lte"))):
        was, now = before[index], after[index]
        if was == now:
            continue
        sign = 1 if index == 0 else -1
        tightened = now is not None and (was is None or (now > was) == (sign > 0))
        told = [
            _text(f"{path}.{name}", old.get(f"{path}.{name}"), new.get(f"{path}.{name}"))
            for name in names
            if old.get(f"{path}.{name}") != new.get(f"{path}.{name}")
        ]
        yield Change(tightened=tightened, text="; ".join(told))


type _End = tuple[Any, int] | None


def _ends(path: str, rules: Rules) -> tuple[_End, _End]:
    """Give both ends as pairs that compare: at one value, the exclusive end is the tighter."""
    lower: _End = None
    upper: _End = None
    if (value := rules.get(f"{path}.gte")) is not None:
        lower = (value, 0)
    if (value := rules.get(f"{path}.gt")) is not None:
        lower = (value, 1)
    if (value := rules.get(f"{path}.lte")) is not None:
        upper = (value, 0)
    if (value := rules.get(f"{path}.lt")) is not None:
        upper = (value, -1)
    return lower, upper


def _inverted(ends: tuple[_End, _End]) -> bool:
    lower, upper = ends
    return lower is not None and upper is not None and upper[0] < lower[0]
