"""The golden vectors: what each message of the contract is, byte for byte, forever.

``tests/golden/<message>/<case>.json`` holds the bytes (base64), the canonical JSON form,
and the rules of the contract that they break, as ``field.path: rule.id``. Every language
has to agree with them. A written vector never changes: this adds only what is missing.

Exit codes: 0 done or all there, 1 ``--check`` found a vector missing, changed or gone,
2 wrong use.
"""

from __future__ import annotations

import argparse
import base64
import importlib
import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _generate import ROOT, compile_protos
from _golden_breaks import broken_rules
from _golden_cases import Cases
from google.protobuf import descriptor_pool, message_factory

from cartsnitch_common.contract import to_json_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from google.protobuf.message import Message

GOLDEN: Final = "tests/golden"
VALID: Final = ("full", "extreme", "lowest")
"""The cases that break no rule, in every message."""

Vector = dict[str, Any]
Vectors = dict[str, dict[str, Vector]]


def main() -> int:
    """Write the missing vectors, or check that none is missing, changed or gone."""
    parser = argparse.ArgumentParser(prog="scripts/_golden.py", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail on a difference")
    parser.add_argument("--against", metavar="REV", help="the base of --check; else it is found")
    parser.add_argument("--renew", metavar="PATTERN", help="write these MESSAGE/CASE anew")
    parser.add_argument("--rules", action="store_true", help="record broken rules anew, no form")
    arguments = parser.parse_args()
    old = read_vectors(ROOT / GOLDEN)
    if arguments.check:
        base = arguments.against or base_revision(ROOT)
        found = [f"{name} is missing: run scripts/generate" for name in missing_names(old)]
        found += differences(vectors_at(ROOT, base) if base else {}, old)
        print("\n".join(found), end="\n" if found else "", file=sys.stderr)
        return 1 if found else 0
    if arguments.renew:
        kept = without(old, arguments.renew)
        if kept == old:
            parser.error(f"there is no vector {arguments.renew}")
        for name in names(old) - names(kept):
            path = ROOT / GOLDEN / f"{name}.json"
            path.unlink()
            if not any(path.parent.iterdir()):
                path.parent.rmdir()
        old = kept
    if arguments.rules:
        renew_rules(ROOT / GOLDEN, old)
    for name in write_missing(ROOT / GOLDEN, old):
        print(f"new: {name}")
    return 0


# -- what the vectors should be ------------------------------------------------


@cache
def contract_cases() -> Cases:
    """The cases of the contract as ``proto/`` has it now."""
    with tempfile.TemporaryDirectory() as folder:
        return Cases(compile_protos(Path(folder) / "full.binpb"))


def missing_names(old: Vectors) -> list[str]:
    """The vectors that ought to be there and are not, as ``message/case``."""
    return [f"{message}/{case}" for message, case, _ in _missing(old)]


def write_missing(folder: Path, old: Vectors) -> list[str]:
    """Add the missing vectors to ``old`` and to the files; returns their names."""
    new = list(_missing(old))
    for message, case, data in new:
        vector = vector_of(message, data)
        if case in VALID and vector["breaks"]:
            raise SystemExit(f"error: {message}/{case} has to be valid, but: {vector['breaks']}")
        old.setdefault(message, {})[case] = vector
        _write(folder / message / f"{case}.json", vector)
    return [f"{message}/{case}" for message, case, _ in new]


def renew_rules(folder: Path, vectors: Vectors) -> None:
    """Record which rules the vectors break now; bytes and JSON stay.

    For a rule that was loosened, or broken on purpose: the forms of old messages are for
    ever, the judgement on them follows the rules.
    """
    for message, cases in vectors.items():
        for case, vector in cases.items():
            breaks = broken_rules(class_of(message).FromString(bytes_of(vector)))
            if breaks != vector["breaks"]:
                vector["breaks"] = breaks
                _write(folder / message / f"{case}.json", vector)


def _write(path: Path, vector: Vector) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(vector, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def names(vectors: Vectors) -> set[str]:
    """Every vector as ``message/case``."""
    return {f"{message}/{case}" for message, cases in vectors.items() for case in cases}


def without(old: Vectors, pattern: str) -> Vectors:
    """The vectors whose ``message/case`` a shell pattern does not match."""
    kept = {
        message: {name: one for name, one in cases.items() if not _fits(message, name, pattern)}
        for message, cases in old.items()
    }
    return {message: cases for message, cases in kept.items() if cases}


def _fits(message: str, case: str, pattern: str) -> bool:
    return fnmatchcase(message, pattern) or fnmatchcase(f"{message}/{case}", pattern)


def _missing(old: Vectors) -> Iterator[tuple[str, str, bytes]]:
    cases = contract_cases()
    for message in cases.messages():
        there = old.get(message, {})
        for case, data in cases.of(message):
            if case not in there:
                yield message, case, data
        if there:
            yield from ((message, *one) for one in _younger(cases, message, there))


def _younger(cases: Cases, message: str, there: dict[str, Vector]) -> Iterator[tuple[str, bytes]]:
    """Vectors of their own for fields and rules that came after a message's vectors."""
    kind = class_of(message)
    decoded = [kind.FromString(bytes_of(vector)) for vector in there.values()]
    fields = {field.name for one in decoded for field, _ in one.ListFields()}
    for field in kind.DESCRIPTOR.fields:
        if field.name not in fields:
            yield cases.with_field(message, field.name)
    broken = {rule.rpartition(": ")[2] for vector in there.values() for rule in vector["breaks"]}
    for rule_id in sorted(cases.rule_ids(message) - broken):
        if f"breaks_{rule_id}" not in there and "breaks_fields" in there:
            yield cases.with_broken_rule(message, rule_id)


def vector_of(name: str, data: bytes) -> Vector:
    """The vector of some bytes of a message, with what Python makes of them."""
    message = class_of(name).FromString(data)
    return {
        "binary": base64.b64encode(data).decode(),
        "json": to_json_value(message),
        "breaks": broken_rules(message),
    }


def bytes_of(vector: Vector) -> bytes:
    """The bytes of a vector."""
    return base64.b64decode(vector["binary"], validate=True)


def class_of(name: str) -> type[Message]:
    """The generated class of a message of the contract."""
    _import_stubs()
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    return message_factory.GetMessageClass(descriptor)


@cache
def _import_stubs() -> None:
    for path in sorted((ROOT / "src/cartsnitch").glob("*/v*/*_pb2.py")):
        importlib.import_module(".".join(path.relative_to(ROOT / "src").with_suffix("").parts))


# -- what they were --------------------------------------------------------------


def read_vectors(folder: Path) -> Vectors:
    """Every vector of a folder, by message and case."""
    return _parsed((str(path), path.read_bytes()) for path in sorted(folder.glob("*/*.json")))


def vectors_at(root: Path, revision: str) -> Vectors:
    """Every vector of a revision; none where it has no such folder.

    Raises:
        SystemExit: Git does not know the revision.
    """
    if not _git(root, "ls-tree", "--name-only", revision, "--", GOLDEN):
        return {}
    archive = _git(root, "archive", "--format=tar", revision, "--", GOLDEN)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = [(one.name, tar.extractfile(one)) for one in tar.getmembers()]
        return _parsed((name, file.read()) for name, file in files if file and ".json" in name)


def _parsed(files: Iterable[tuple[str, bytes]]) -> Vectors:
    found: Vectors = {}
    for name, data in files:
        path = Path(name)
        found.setdefault(path.parent.name, {})[path.stem] = json.loads(data)
    return found


def base_revision(root: Path) -> str | None:
    """What a change is compared with: where it left the main branch, else the last commit.

    None without git, without a repository and before its first commit.
    """
    if shutil.which("git") is None or not (root / ".git").exists():
        return None
    if not _git(root, "rev-list", "--max-count=1", "--all"):
        return None
    for branch in ("origin/HEAD", "origin/main", "main"):
        # On a shallow clone, or without such a branch, there is none.
        found = _git(root, "merge-base", "HEAD", branch, may_fail=True).decode().strip()
        if found:
            return found
    return "HEAD"


def _git(root: Path, *arguments: str, may_fail: bool = False) -> bytes:
    command = ("git", "-C", str(root), *arguments)
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603
    if done.returncode and not may_fail:
        raise SystemExit(f"error: git {arguments[0]} failed: {done.stderr.decode().strip()}")
    return b"" if done.returncode else done.stdout


def differences(base: Vectors, now: Vectors) -> list[str]:
    """What happened to vectors that the base has and that is not allowed to.

    Which rules a vector breaks may change with the rules: those are the business of
    ``scripts/check-contract``, where an intended change is recorded.
    """
    found = []
    for message, cases in base.items():
        for case, old in cases.items():
            new = now.get(message, {}).get(case)
            if new is None:
                found.append(f"{message}/{case} is gone: a vector stays as long as v1 does")
                continue
            changed = [form for form in ("binary", "json") if old[form] != new[form]]
            found += [f"{message}/{case}: its {form} form changed" for form in changed]
    return found


if __name__ == "__main__":
    raise SystemExit(main())
