"""What the gates of the contract have to say, and how they say it."""

from __future__ import annotations

import enum
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class CannotCheckError(Exception):
    """a gate cannot do its work here, so the answer is neither yes nor no."""


class UsageError(Exception):
    """an argument names nothing."""


class Level(enum.StrEnum):
    """Whether a finding fails the check. The values are GitHub's words."""

    ERROR = "error"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a gate has found.

    Attributes:
        rule: Its name, in capitals.
        message: What was found, naming the element.
        path: The file, from the project's root; empty where there is none.
        line: From 1; 0 where there is none.
        level: Whether it fails the check.
    """

    rule: str
    message: str
    path: str = ""
    line: int = 0
    level: Level = Level.ERROR

    @property
    def key(self) -> tuple[str, str, str]:
        """What a waiver names: the line is left out, because it moves."""
        return self.rule, self.path, self.message

    def annotation(self) -> str:
        """Render the workflow command that puts this beside the line in a pull request."""
        facts = {"file": self.path, "line": str(self.line or ""), "title": self.rule}
        given = ",".join(f"{name}={_property(text)}" for name, text in facts.items() if text)
        return f"::{self.level} {given}::{_data(self.message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


@dataclass(slots=True, kw_only=True)
class Report:
    """The answers of all gates, in their order.

    Attributes:
        gates: The findings of each gate; what two baselines both show stands once.
        notes: What the reader must know to judge the answers, such as a missing base.
    """

    gates: dict[str, dict[tuple[str, str, str], Finding]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, gate: str, findings: Iterable[Finding]) -> None:
        """Take what a gate has found; a gate that found nothing is listed as well."""
        known = self.gates.setdefault(gate, {})
        for finding in findings:
            known.setdefault(finding.key, finding)

    def errors(self) -> list[Finding]:
        """List what fails the check."""
        return [
            finding
            for findings in self.gates.values()
            for finding in findings.values()
            if finding.level is Level.ERROR
        ]

    def show(self, waivers: str) -> None:
        """Print a line a gate, then the findings, then the verdict."""
        for name, findings in self.gates.items():
            bad = sum(finding.level is Level.ERROR for finding in findings.values())
            print(f"{name:<12} {_count(bad) if bad else 'ok'}")
        for note in self.notes:
            print(f"note: {note}")
        for level in (Level.NOTICE, Level.ERROR):
            for findings in self.gates.values():
                for finding in findings.values():
                    if finding.level is level:
                        _show(finding)
        errors = self.errors()
        if errors:
            print(f"\n{_count(len(errors))}. An intended break is recorded in {waivers}.")
        else:
            print("\nthe contract is kept")
        sys.stdout.flush()


def _count(number: int) -> str:
    return f"{number} finding{'s' * (number != 1)}"


def _show(finding: Finding) -> None:
    place = f"{finding.path}:{finding.line}" if finding.line else finding.path or "-"
    print(f"\n{finding.level} {finding.rule}  {place}")
    for line in finding.message.splitlines():
        print(f"    {line}")
    if os.environ.get("GITHUB_ACTIONS"):
        print(finding.annotation())
