"""Check that a change keeps what the contract has promised.

The working tree is compared with the place where it left the main branch (or --against REV) and
with the last release tag vX.Y.Z that it contains.

Exit codes: 0 kept, 1 findings, 2 wrong use, 3 it could not be checked. Where CI is "true", a base
that ought to exist but is not in this clone is a 3: a gate that did not look must not be green.
Elsewhere it is a note, and what can be checked is checked.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import _contract_buf as buf
import _contract_release as releases
import _contract_waivers as waivers
from _contract_git import Baselines, Repository
from _contract_report import CannotCheckError, Report, UsageError
from _contract_semantic import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> int:
    """Run every gate and print what they found."""
    parser = argparse.ArgumentParser(
        prog="scripts/check-contract",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--against", metavar="REV", help="the base; else the merge base with main")
    given = parser.parse_args(arguments)
    try:
        report, missing = check(root, given.against)
    except UsageError as error:
        return _stop(str(error), 2)
    except CannotCheckError as error:
        return _stop(str(error), 3)
    report.show(waivers.PATH)
    if report.errors():
        return 1
    if missing and os.environ.get("CI") == "true":
        return _stop(f"the base is missing and CI is true: {missing}", 3)
    return 0


def _stop(message: str, code: int) -> int:
    if os.environ.get("GITHUB_ACTIONS"):
        print(f"::error title=check-contract::{message}", flush=True)
    print(f"error: {message}", file=sys.stderr)
    return code


def check(root: Path, against: str | None) -> tuple[Report, str]:
    """Run every gate.

    Returns:
        The report, and why there is no base although there ought to be one.
    """
    repository = Repository(root)
    baselines = repository.baselines(against)
    report = Report(notes=list(baselines.notes))
    if baselines.missing:
        report.notes.append(f"NOT compared with any base: {baselines.missing}")
    report.add("buf.yaml", buf.configuration(root))
    with tempfile.TemporaryDirectory() as folder:
        _compare(root, repository, baselines, report, Path(folder))
    for baseline in baselines.all():
        report.notes.append(f"compared with {baseline.label}")
        report.add("golden", releases.golden(repository, baseline))
    if baselines.release is not None:
        report.add("migrations", releases.migrations(repository, baselines.release))
    if baselines.all():
        report.add("version", releases.version(root, repository, baselines))
    file = root / waivers.PATH
    base = repository.read(baselines.base.revision, waivers.PATH) if baselines.base else None
    today = dt.datetime.now(tz=dt.UTC).date()
    waivers.apply(report, file.read_text() if file.exists() else "", base, today)
    return report, baselines.missing


def _compare(
    root: Path, repository: Repository, baselines: Baselines, report: Report, folder: Path
) -> None:
    """Compile both sides and compare them; protos that do not compile are the one finding."""
    after = folder / "after.binpb"
    broken = buf.build(root, after)
    report.add("compile", broken)
    if broken:
        return
    report.add("lint", buf.lint(root))
    report.add("format", buf.formatted(root))
    for index, baseline in enumerate(baselines.all()):
        tree = folder / f"base{index}"
        tree.mkdir()
        if not repository.export(baseline.revision, "proto", tree):
            report.notes.append(f"{baseline.label} has no proto: nothing there can break")
            continue
        before = folder / f"base{index}.binpb"
        buf.build_base(root, tree, before)
        report.add("breaking", buf.breaking(root, before, after))
        report.add("semantic", compare(before.read_bytes(), after.read_bytes()))


if __name__ == "__main__":
    raise SystemExit(main())
