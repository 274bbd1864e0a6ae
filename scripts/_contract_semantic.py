"""What buf does not look at: events, implementers, rules, redaction, and what comments promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import protovalidate
from _contract_elements import Contract, Element
from _contract_report import Finding, Level
from _contract_rules import PREFIX, changes

if TYPE_CHECKING:
    from collections.abc import Iterator

_OURS: Final = "(cartsnitch.options."


def compare(before: bytes, after: bytes) -> Iterator[Finding]:
    """Compare two images with source information, by the full names of their elements.

    What is gone altogether, buf reports; here both sides exist, or the new one alone.
    """
    old, new = Contract(before), Contract(after)
    for name, now in new.elements.items():
        was = old.elements.get(name)
        if was is not None:
            yield from _comments(was, now)
            yield from _options(was, now)
            yield from _rules(was, now)
    yield from _newcomers(old, new)


def _finding(rule: str, element: Element, text: str, level: Level = Level.ERROR) -> Finding:
    return Finding(
        rule=rule,
        message=f"{element.kind} {element.name}: {text}",
        path=element.path,
        line=element.line,
        level=level,
    )


def _comments(was: Element, now: Element) -> Iterator[Finding]:
    for promise in sorted(was.promises - now.promises):
        yield _finding("PROMISE_CHANGED", now, f"its comment no longer says {promise!r}")


def _options(was: Element, now: Element) -> Iterator[Finding]:
    if was.number != now.number:
        yield _finding("EXTENSION_NUMBER_CHANGED", now, f"was {was.number}, is {now.number}")
    if was.options.get("debug_redact") and not now.options.get("debug_redact"):
        yield _finding("REDACTION_REMOVED", now, "debug_redact is gone: its value may be logged")
    roots = {_root(path) for path in was.options}
    for path in sorted(was.options.keys() | now.options.keys()):
        # An option that the element did not have at all is an addition.
        if path.startswith(_OURS) and _root(path) in roots:
            yield from _option(now, path, was.options.get(path), now.options.get(path))


def _root(path: str) -> str:
    return path.partition(")")[0]


def _option(element: Element, path: str, was: Any, now: Any) -> Iterator[Finding]:
    if isinstance(was, tuple) or isinstance(now, tuple):
        gone, added = set(was or ()) - set(now or ()), set(now or ()) - set(was or ())
        parts = [
            f"{word} {', '.join(sorted(map(str, names)))}"
            for word, names in (("without", gone), ("with", added))
            if names
        ]
        if parts:
            yield _finding("OPTION_CHANGED", element, f"{path} is now {' and '.join(parts)}")
    elif was != now:
        yield _finding("OPTION_CHANGED", element, f"{path} was {was!r} and is {now!r}")


def _rules(was: Element, now: Element) -> Iterator[Finding]:
    for change in changes(was.options, now.options):
        if change.tightened:
            yield _finding("RULE_TIGHTENED", now, change.text)
        else:
            yield _finding("RULE_LOOSENED", now, change.text, Level.NOTICE)


def _newcomers(old: Contract, new: Contract) -> Iterator[Finding]:
    """Find new fields without which a message of before would now be refused.

    The rules' engine itself is asked, with an empty message: what a sender that does not know
    the new field leaves out is exactly what is empty there.
    """
    # Of its own: an engine remembers messages by name, and other images have the same names.
    engine = protovalidate.Validator()
    for message in [item for item in new.elements.values() if item.kind == "message"]:
        if message.name not in old.elements:
            continue
        ours = {
            name.rpartition(".")[2]: element
            for name, element in new.elements.items()
            if element.parent == message.name
            and element.kind in {"field", "oneof"}
            and name not in old.elements
            and any(path.startswith(PREFIX) for path in element.options)
        }
        if not ours:
            continue
        try:
            violations = engine.collect_violations(new.empty(message.name))
        except protovalidate.CompilationError as error:
            yield _finding("RULE_BROKEN", message, f"its rules do not compile: {error}")
            continue
        for violation in violations:
            path = violation.proto.field
            if path and path.elements and (element := ours.get(path.elements[0].field_name)):
                text = f"new, and refuses messages without it: {violation.proto.rule_id}"
                yield _finding("NEW_FIELD_REFUSES_OLD_MESSAGES", element, text)
