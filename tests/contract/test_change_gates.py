"""Which changes of the contract the gates let through."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.additions import COMPATIBLE
from tests.contract.gates import ROOT, Edit, Scratch, errors
from tests.contract.meanings import COMMENTS, EVENTS, RULES
from tests.contract.mutations import WIRE, Break

BREAKS = (*WIRE, *EVENTS, *RULES, *COMMENTS)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Scratch:
    return Scratch(tmp_path_factory.mktemp("contract"))


@pytest.mark.parametrize("change", BREAKS, ids=[change.name for change in BREAKS])
def test_a_break_is_caught(scratch: Scratch, change: Break) -> None:
    """Each way to break a reader, a writer or a meaning fails, by the rule that it breaks."""
    # Each is the work of one gate, so only that one is asked.
    found = errors(scratch.judge(change.edits, wire=change in WIRE, meaning=change not in WIRE))
    assert set(change.rules) <= {finding.rule for finding in found}, found
    right = [finding for finding in found if finding.rule in change.rules]
    assert any(change.says in finding.message for finding in right), found
    # A person is led to the line; only what goes with its file or package has no place left.
    gone = any(rule in {"FILE_NO_DELETE", "PACKAGE_NO_DELETE"} for rule in change.rules)
    assert gone or all(finding.path.startswith("proto/cartsnitch/") for finding in right)
    assert gone or all(finding.line for finding in right)


@pytest.mark.parametrize("change", COMPATIBLE.values(), ids=COMPATIBLE)
def test_a_compatible_change_passes(scratch: Scratch, change: tuple[Edit, ...]) -> None:
    """What breaks nobody is not held up by any gate."""
    assert errors(scratch.judge(change)) == []


def test_a_loosened_rule_is_told(scratch: Scratch) -> None:
    """A rule that lets more through passes, but a reviewer sees it."""
    told = scratch.judge([("probe/v1/probe.proto", "max_len: 64", "max_len: 65")])
    assert [(finding.rule, finding.level.value) for finding in told] == [
        ("RULE_LOOSENED", "notice")
    ]


def test_both_gates_look_at_every_change(scratch: Scratch) -> None:
    """One change that breaks the wire and a meaning is told by both."""
    found = scratch.judge(
        [
            ("probe/v1/probe.proto", "Unit: grams", "Unit: ounces"),
            ("probe/v1/probe.proto", "string note = 12;", ""),
        ]
    )
    assert {finding.rule for finding in errors(found)} == {"PROMISE_CHANGED", "FIELD_NO_DELETE"}


def test_the_lists_cover_what_buf_can_find() -> None:
    """Every rule of buf's category PACKAGE is broken by some change here."""
    listed = subprocess.run(
        [Path(sys.executable).parent / "buf", "config", "ls-breaking-rules", "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rules = [json.loads(line) for line in listed.splitlines()]
    wanted = {rule["id"] for rule in rules if "PACKAGE" in rule["categories"]}
    assert len(wanted) > 40
    assert wanted <= {rule for change in WIRE for rule in change.rules}
    assert len(BREAKS) >= 40
    assert len(COMPATIBLE) >= 10
