"""The revisions as they are written: one line of history, and what each must say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from cartsnitch_common.db import migrate
from cartsnitch_common.db.operations import LIMITS
from cartsnitch_common.db.revisions import OLDEST_COMPATIBLE, scripts_folder

SCRIPTS = sorted(path for path in (scripts_folder() / "versions").glob("*.py"))
IDS = [path.stem for path in SCRIPTS]


def test_there_is_one_head() -> None:
    """The history is a line; whoever adds a migration adds it to its end."""
    assert migrate.heads() == (IDS[-1],)
    assert [int(name[:4]) for name in IDS] == list(range(1, len(IDS) + 1))


@pytest.mark.parametrize("path", SCRIPTS, ids=IDS)
def test_a_migration_tells_what_an_operator_must_know(path: Path) -> None:
    """Each has an id that fits the version table and says what, why, phase and for whom."""
    assert re.fullmatch(r"\d{4}_[a-z_]+", path.stem)
    assert len(path.stem) <= 32
    text = path.read_text()
    title, header = (ast.get_docstring(ast.parse(text)) or "").split("\n", 1)
    assert re.fullmatch(r"[A-Z].*\.", title)
    assert re.search(
        r"^What: .*^Why: .*^Phase: (expand|migrate|contract)\.$", header, re.MULTILINE | re.DOTALL
    )
    assert re.search(r"^The previous code sees: .*\.$", header, re.MULTILINE)
    assert f'revision = "{path.stem}"' in text
    # A model or a constant that changes must not change history.
    assert "cartsnitch_common" not in text


@pytest.mark.parametrize("path", SCRIPTS, ids=IDS)
def test_a_contract_says_whom_it_still_serves(path: Path) -> None:
    """Only what takes something away shuts out old versions, and it names the oldest that stays."""
    text = path.read_text()
    serves = re.search(r'^serves = "(\w+)"$', text, re.MULTILINE)
    assert (serves is not None) == ("\nPhase: contract." in text)
    assert serves is None or serves[1] in IDS[: IDS.index(path.stem)]


@pytest.mark.parametrize("path", SCRIPTS, ids=IDS)
def test_what_runs_outside_a_transaction_stands_alone(path: Path) -> None:
    """A concurrent index, or rows filled in batches, is all of its revision: a kill repeats it."""
    body = ast.parse(path.read_text()).body
    (upgrade,) = (
        node for node in body if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    steps = [ast.unparse(step) for step in upgrade.body]
    if "autocommit_block" in " ".join(steps):
        assert len(steps) == 1
        assert steps[0].startswith("with op.get_context().autocommit_block():")
        assert "if_not_exists" not in steps[0]


def test_the_template_carries_the_rules() -> None:
    """Whoever writes a migration meets the lock and statement limits and the three phases."""
    text = (scripts_folder() / "script.py.mako").read_text()
    for rule in (*LIMITS.split("; "), "expand", "migrate", "contract", "CONCURRENTLY", "serves ="):
        assert rule in text or rule.lower() in text, rule


def test_the_oldest_compatible_revision_exists() -> None:
    """What a version names as enough for itself is one of its own revisions."""
    assert OLDEST_COMPATIBLE in IDS
