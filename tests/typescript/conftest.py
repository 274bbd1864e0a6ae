"""What happens where there is no Node: the run says so at its end, and CI does not accept it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.typescript.project import why_not

HERE = Path(__file__).parent
EMPTY = {"", "0", "false"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the tests in Node out where there is none, but never on a build machine."""
    inside = [item for item in items if item.path.is_relative_to(HERE)]
    reason = why_not() if inside else None
    if reason is None or os.environ.get("CI", "").lower() not in EMPTY:
        return
    # Marked, not taken away: pytest then names it in its last lines, also with several workers,
    # of which the process that prints those lines hears by the tests' reports alone.
    mark = pytest.mark.skip(reason=f"TypeScript was NOT checked: {reason}")
    for item in inside:
        if "typescript" in getattr(item, "fixturenames", ()):
            item.add_marker(mark)
