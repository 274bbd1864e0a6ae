"""The one place where an intended break is allowed, with its reason and its end."""

from __future__ import annotations

import datetime as dt
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from _contract_report import Finding, Level

if TYPE_CHECKING:
    from _contract_report import Report

# Not in proto/: buf reads every file there, and the wheel ships them.
PATH: Final = "scripts/contract-waivers.toml"
# Only what compares with before: a fault in itself is mended, not waived.
WAIVABLE: Final = ("breaking", "semantic", "golden", "migrations")
_KEYS: Final = {"rule": str, "path": str, "message": str, "reason": str, "expires": dt.date}
_LONGEST: Final = dt.timedelta(days=366)
_WORDS: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One finding that is let through.

    Attributes:
        key: The finding's rule, path and message, all three exactly as printed.
        reason: Why the break is right, and who has agreed.
        expires: The last day on which it holds.
        line: Where it stands in the file.
    """

    key: tuple[str, str, str]
    reason: str
    expires: dt.date
    line: int


def read(text: str, today: dt.date) -> tuple[list[Waiver], list[Finding]]:
    """Read the file: the waivers that hold, and what is wrong with the others."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return [], [_fault("WAIVER_INVALID", f"not TOML: {error}", 0)]
    lines = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip().startswith("[[waiver]]")
    ]
    faults = [
        _fault("WAIVER_INVALID", f"unknown name {name!r}; only [[waiver]] is known", 0)
        for name in content
        if name != "waiver"
    ]
    entries = content.get("waiver", [])
    if not isinstance(entries, list) or len(lines) != len(entries):
        return [], [*faults, _fault("WAIVER_INVALID", "write each as a table [[waiver]]", 0)]
    waivers = []
    for entry, line in zip(entries, lines, strict=True):
        fault = _judge(entry, today, line)
        if fault is None:
            key = (entry["rule"], entry["path"], entry["message"])
            waivers.append(
                Waiver(key=key, reason=entry["reason"], expires=entry["expires"], line=line)
            )
        else:
            faults.append(fault)
    return waivers, faults


def _judge(entry: dict[str, Any], today: dt.date, line: int) -> Finding | None:
    """Say what is wrong with an entry, if anything."""
    for name, kind in _KEYS.items():
        value = entry.get(name)
        if not isinstance(value, kind) or isinstance(value, dt.datetime):
            return _fault("WAIVER_INVALID", f"{name} is missing or no {kind.__name__}", line)
    if unknown := sorted(entry.keys() - _KEYS.keys()):
        return _fault("WAIVER_INVALID", f"unknown name {unknown[0]!r}", line)
    if len(entry["reason"].split()) < _WORDS:
        return _fault("WAIVER_INVALID", f"a reason has {_WORDS} words or more", line)
    about = f"{entry['rule']} {entry['path']}: {entry['message']}"
    if entry["expires"] < today:
        return _fault("WAIVER_EXPIRED", f"expired on {entry['expires']}: {about}", line)
    if entry["expires"] > today + _LONGEST:
        return _fault("WAIVER_INVALID", "expires more than a year from now", line)
    return None


def _fault(rule: str, message: str, line: int) -> Finding:
    return Finding(rule=rule, message=message, path=PATH, line=line)


def apply(report: Report, text: str, base: str | None, today: dt.date) -> None:
    """Take the waived findings out of the report, and add what is wrong with the waivers.

    A waiver that matches nothing fails. Only one that the base already has is let be until it
    expires: its break is merged, and a green main must not turn red by the merge.
    """
    waivers, faults = read(text, today)
    merged = {waiver.key for waiver in read(base or "", today)[0]}
    for waiver in waivers:
        hits = [
            gate for name, gate in report.gates.items() if name in WAIVABLE and waiver.key in gate
        ]
        for gate in hits:
            del gate[waiver.key]
        about = f"{waiver.key[0]} {waiver.key[1]}: {waiver.key[2]}"
        if hits:
            note = f"waived until {waiver.expires}: {about} ({waiver.reason})"
            report.notes.append(note)
        else:
            faults.append(_unused(waiver, about, merged=waiver.key in merged))
    report.add("waivers", faults)


def _unused(waiver: Waiver, about: str, *, merged: bool) -> Finding:
    text = f"matches nothing: {about}"
    if merged:
        return Finding(
            rule="WAIVER_DONE",
            message=f"{text}. Its break is merged; remove it before {waiver.expires}",
            path=PATH,
            line=waiver.line,
            level=Level.NOTICE,
        )
    return _fault("WAIVER_UNUSED", text, waiver.line)
