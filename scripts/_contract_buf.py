"""What buf has to say: the style of the contract, and whether it breaks what was there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from _contract_report import CannotCheckError, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOUND: Final = 100
_CONFIG: Final = "buf.yaml"
# Written here and not read from buf.yaml, where an `ignore` could empty it. FILE_NO_DELETE is
# beside PACKAGE because TypeScript imports a message by its file.
_BREAKING: Final = json.dumps({"version": "v2", "breaking": {"use": ["PACKAGE", "FILE_NO_DELETE"]}})
# The two modules of an exported base; the working tree has its own buf.yaml.
_BASE_CONFIG: Final = """version: v2
modules:
  - path: proto
    name: buf.build/cartsnitch/common
  - path: third_party/protovalidate
    name: buf.build/bufbuild/protovalidate
"""
_NEEDED: Final = ("- STANDARD", "- COMMENTS", "- PACKAGE", "disallow_comment_ignores: true")
_WEAKENS: Final = re.compile(
    r"(ignore|ignore_only|except|ignore_unstable_packages|allow_comment_ignores|disable_builtin"
    r"|enum_zero_value_suffix|service_suffix|rpc_allow_\w+|disabled?|excludes)\s*:"
)


def _buf(folder: Path, *arguments: str) -> tuple[int, str, str]:
    beside = Path(sys.executable).parent / "buf"
    program = str(beside) if beside.exists() else shutil.which("buf")
    if program is None:
        raise CannotCheckError("buf is not installed; ./scripts/check-contract brings it")
    done = subprocess.run(  # noqa: S603 - the program that was just found
        [program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        # It runs for a tenth of a second; a third of that is Go's collector.
        env={"GOGC": "off", "GOMAXPROCS": "1"} | os.environ,
    )
    return done.returncode, done.stdout, done.stderr


def _findings(output: str, prefix: str) -> Iterator[Finding]:
    for line in output.splitlines():
        found = json.loads(line)
        path = found.get("path", "")
        yield Finding(
            rule=found["type"],
            message=found["message"],
            path=f"{prefix}{path}" if path else "",
            line=found.get("start_line", 0),
        )


def build(folder: Path, target: Path) -> list[Finding]:
    """Compile ``proto/`` of a folder with its comments into an image.

    Returns:
        What hinders it; nothing when the image is written.
    """
    if not (folder / "third_party/protovalidate/buf/validate/validate.proto").exists():
        raise CannotCheckError("third_party/ holds no validate.proto; run ./scripts/fetch-protos")
    code, out, err = _buf(folder, "build", "proto", "-o", str(target), "--error-format", "json")
    if code == 0:
        return []
    if code != _FOUND:
        raise CannotCheckError(f"buf build: {(err or out).strip()}")
    # Of a file that does not compile, buf gives the path from where it runs.
    return list(_findings(out or err, ""))


def build_base(root: Path, folder: Path, target: Path) -> None:
    """Compile an exported base beside this tree's copy of what is not ours."""
    (folder / _CONFIG).write_text(_BASE_CONFIG)
    shutil.copytree(root / "third_party/protovalidate", folder / "third_party/protovalidate")
    if findings := build(folder, target):
        first = findings[0]
        raise CannotCheckError(f"the base does not compile: {first.path}: {first.message}")


def breaking(root: Path, before: Path, after: Path) -> list[Finding]:
    """Compare two images by buf's rules for a package."""
    code, out, err = _buf(
        root,
        *("breaking", str(after), "--against", str(before), "--exclude-imports"),
        *("--config", _BREAKING, "--error-format", "json"),
    )
    if code not in {0, _FOUND}:
        # buf's 1 is no finding: it could not compare.
        raise CannotCheckError(f"buf breaking: {(err or out).strip()}")
    return list(_findings(out, "proto/"))


def lint(root: Path) -> list[Finding]:
    """Check the style of the contract as ``buf.yaml`` says."""
    code, out, err = _buf(root, "lint", "--error-format", "json")
    if code not in {0, _FOUND}:
        raise CannotCheckError(f"buf lint: {(err or out).strip()}")
    return list(_findings(out, ""))


def formatted(root: Path) -> list[Finding]:
    """Check the format; a finding a file, at its first difference."""
    code, out, err = _buf(root, "format", "--diff", "--exit-code", "proto")
    if code not in {0, _FOUND}:
        raise CannotCheckError(f"buf format: {(err or out).strip()}")
    pattern = re.compile(r"^\+\+\+ (\S+).*\n@@ -(\d+)", re.MULTILINE)
    return [
        Finding(
            rule="FORMAT",
            message="differs from buf's format; run buf format -w proto",
            path=match.group(1),
            line=int(match.group(2)),
        )
        for match in pattern.finditer(out)
    ]


def configuration(root: Path) -> Iterator[Finding]:
    """Check that ``buf.yaml`` switches nothing off without saying why.

    A reason is a comment on the line, on the line before it, or on that of its list.
    """
    lines = (root / _CONFIG).read_text().splitlines()
    bare = [line.partition("#")[0].strip() for line in lines]
    for needed in _NEEDED:
        if needed not in bare:
            yield Finding(rule="BUF_CONFIG", message=f"lacks {needed!r}", path=_CONFIG, line=1)
    inside: int | None = None
    explained = False
    for number, (line, text) in enumerate(zip(lines, bare, strict=True), 1):
        indent = len(line) - len(line.lstrip())
        # A list may stand as far left as its key.
        if inside is not None and text and indent < inside + (not text.startswith("- ")):
            inside = None
        own = "#" in line or (number > 1 and lines[number - 2].lstrip().startswith("#"))
        if _WEAKENS.match(text.removeprefix("- ")):
            inside, explained = indent, own
            value = text.partition(":")[2].strip()
            faulty = bool(value) and not own
        else:
            faulty = inside is not None and bool(text) and not (own or explained)
        if faulty:
            message = f"{text!r} switches a rule off without a reason beside it"
            yield Finding(rule="BUF_CONFIG", message=message, path=_CONFIG, line=number)
