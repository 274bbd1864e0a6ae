"""What the suite says of a program that is not there: it is never a silent skip."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import conftest


class Reporter:
    """The end of a run: what would be its last lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def line(self, text: str) -> None:
        """Keep a line."""
        self.lines.append(text)


def test_the_last_lines_name_what_was_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a program that no wheel brings, its tests are named, and the program."""
    monkeypatch.setitem(conftest.PROGRAMS, "no-such-program", ("tests/one.py", "tests/two.py"))
    reporter = Reporter()
    conftest.pytest_terminal_summary(reporter)  # type: ignore[arg-type] # as much as it uses
    assert reporter.lines[-1] == (
        "NOT RUN: tests/one.py, tests/two.py, because no-such-program is not installed"
    )
    assert len(reporter.lines) == len(conftest.missing_programs())


def test_only_what_needs_a_missing_program_is_left_out() -> None:
    """Each test that may be left out exists, and is left out for its program alone."""
    root = Path(__file__).parents[2]
    for places in conftest.PROGRAMS.values():
        assert all((root / place).is_file() for place in places)
    missing = conftest.missing_programs()
    left_out = {place for name in missing for place in conftest.PROGRAMS[name]}
    assert {str(root / place) for place in left_out} == set(conftest.collect_ignore)
