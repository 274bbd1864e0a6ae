"""The gates on a scratch copy of the contract, and on scratch repositories."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = str(ROOT / "scripts")
if SCRIPTS not in sys.path:
    sys.path.append(SCRIPTS)
check: Any = importlib.import_module("_contract_check")
buf: Any = importlib.import_module("_contract_buf")
report: Any = importlib.import_module("_contract_report")
semantic: Any = importlib.import_module("_contract_semantic")

# Half of the contract: to compile all of it for each edit would take twice the time.
EDITED = (
    "account/v1/user.proto",
    "coupon/v1/coupon_service.proto",
    "error/v1/error_reason.proto",
    "event/v1/price_events.proto",
    "purchase/v1/purchase_service.proto",
)

# A file, what stands there, and what shall; None for the text deletes the file, and what
# stands there is empty for a new file.
type Edit = tuple[str, str, str | None]


def apply(proto: Path, edits: Sequence[Edit]) -> None:
    """Edit the protos under a folder; an edit that finds nothing to change is an error."""
    for name, old, new in edits:
        path = proto / "cartsnitch" / name
        if new is None:
            path.unlink()
        elif not old:
            assert not path.exists() or not path.read_text(), name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(new)
        else:
            text = path.read_text()
            assert old in text, f"{name} no longer holds {old!r}"
            path.write_text(text.replace(old, new, 1))


def copy_contract(target: Path) -> None:
    """Copy what the edits are made on, with its imports, and the probes beside it."""
    wanted = [f"cartsnitch/{name}" for name in EDITED]
    while wanted:
        name = wanted.pop()
        copy = target / "proto" / name
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = (ROOT / "proto" / name).read_text()
            copy.write_text(text)
            wanted += re.findall(r'^import "(cartsnitch/.*)";', text, re.MULTILINE)
    for probe in sorted((ROOT / "tests/contract/probe").glob("*.proto")):
        folder = target / "proto/cartsnitch" / probe.stem / "v1"
        folder.mkdir(parents=True)
        shutil.copy(probe, folder)
    third_party(target)
    shutil.copy(ROOT / "buf.yaml", target)


def third_party(target: Path) -> None:
    """Put what is not ours beside a scratch contract."""
    shutil.copytree(ROOT / "third_party/protovalidate", target / "third_party/protovalidate")


class Scratch:
    """A copy of the contract, compiled once, against which edits are judged."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._base = folder / "base.binpb"
        copy_contract(folder)
        assert buf.build(folder, self._base) == []

    def judge(self, edits: Sequence[Edit], *, wire: bool = True, meaning: bool = True) -> list[Any]:
        """Make the edits, ask buf and the gate for meanings, and undo the edits."""
        proto = self._folder / "proto"
        files = {proto / "cartsnitch" / name for name, _old, _new in edits}
        before = {path: path.read_text() if path.exists() else None for path in files}
        head = self._folder / "head.binpb"
        try:
            apply(proto, edits)
            assert buf.build(self._folder, head) == []
        finally:
            for path, text in before.items():
                if text is None:
                    path.unlink(missing_ok=True)
                else:
                    path.write_text(text)
        found = buf.breaking(self._folder, self._base, head) if wire else []
        if meaning:
            found += semantic.compare(self._base.read_bytes(), head.read_bytes())
        return found


def errors(findings: Sequence[Any]) -> list[Any]:
    """Leave out what is only a notice."""
    return [finding for finding in findings if finding.level is report.Level.ERROR]


class Repo:
    """A git repository with a small contract, a version, a migration and a golden vector."""

    PROTO = """syntax = "proto3";

package cartsnitch.small.v1;

// A thing.
message Thing {
  // The id.
  string id = 1;
}
"""

    def __init__(self, folder: Path, *, protos: bool = True) -> None:
        self.root = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch=main")
        third_party(folder)
        shutil.copy(ROOT / "buf.yaml", folder)
        self.write(".gitignore", "/third_party/\n")
        self.release("0.1.0", "- proto: everything.\n")
        self.write("alembic/versions/0001_first.py", '"""first"""\n')
        self.write("tests/golden/thing.binpb", "one")
        if protos:
            self.write("proto/cartsnitch/small/v1/thing.proto", self.PROTO)

    def git(self, *arguments: str) -> str:
        """Run git with nobody's settings."""
        clean = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        return subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments],
            cwd=self.root,
            env=clean | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()

    def write(self, name: str, text: str) -> None:
        """Write a file of the working tree."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        """Edit a file of the working tree."""
        text = (self.root / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new, 1))

    def release(self, version: str, entries: str, before: str = "") -> None:
        """Write a version and its entries."""
        self.write("pyproject.toml", f'[project]\nname = "x"\nversion = "{version}"\n')
        self.write("CHANGELOG.md", f"# Changelog\n\n## [{version}]\n\n{entries}\n{before}")

    def commit(self, message: str = "a change") -> None:
        """Commit the whole working tree."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def check(self, *arguments: str) -> int:
        """Run the gates on it."""
        return check.main(arguments, root=self.root)
