"""What a release promises: a version and an entry for each change, and vectors that stay."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Final

from _contract_report import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _contract_git import Baseline, Baselines, Repository

GOLDEN: Final = "tests/golden"
MIGRATIONS: Final = "alembic/versions"
# What changes the package for its users, and the area that its entry is of.
_AREAS: Final = {"proto": "proto", MIGRATIONS: "db"}
_PROJECT: Final = "pyproject.toml"
_CHANGELOG: Final = "CHANGELOG.md"
_VERSION: Final = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def golden(repository: Repository, baseline: Baseline) -> Iterator[Finding]:
    """Check that no golden vector that exists was changed or removed."""
    for path in repository.changed(baseline.revision, GOLDEN, kinds="DMT"):
        # Programs and pages beside the vectors are no vectors.
        if not path.endswith((".py", ".md")) and not _same_vector(repository, baseline, path):
            yield Finding(
                rule="GOLDEN_CHANGED",
                message="a golden vector is never changed or removed, only added",
                path=path,
            )


def _same_vector(repository: Repository, baseline: Baseline, path: str) -> bool:
    """Whether a vector's bytes and JSON are what they were.

    Which rules it breaks may follow a loosened rule; a tightened one is a finding of its own.
    """
    before, now = repository.read(baseline.revision, path), repository.root / path
    if before is None or not path.endswith(".json") or not now.is_file():
        return False
    old, new = json.loads(before), json.loads(now.read_text())
    return all(old.get(form) == new.get(form) for form in ("binary", "json"))


def migrations(repository: Repository, release: Baseline) -> Iterator[Finding]:
    """Check that no migration that was released was changed or removed."""
    for path in repository.changed(release.revision, MIGRATIONS, kinds="DMT"):
        if path.endswith(".py"):
            yield Finding(
                rule="MIGRATION_CHANGED",
                message="a released migration is never changed or removed; write a new one",
                path=path,
            )


def version(root: Path, repository: Repository, baselines: Baselines) -> Iterator[Finding]:
    """Check that a changed contract or schema has a version and an entry of its own.

    The version is above that of the last release, or of the base while there is no release:
    several changes may share one version that is not released yet. Each has an entry.
    """
    now = _version((root / _PROJECT).read_text())
    for baseline in baselines.all():
        areas = [
            area
            for folder, area in _AREAS.items()
            if any(
                path.endswith((".proto", ".py"))
                for path in repository.changed(baseline.revision, folder)
            )
        ]
        before = _version(repository.read(baseline.revision, _PROJECT) or "")
        if not areas or before is None:
            continue
        if now is None:
            message = "the version is not of the form X.Y.Z"
            yield Finding(rule="VERSION_INVALID", message=message, path=_PROJECT)
            return
        if baseline is (baselines.release or baselines.base) and _numbers(now) <= _numbers(before):
            yield Finding(
                rule="VERSION_NOT_RAISED",
                message=f"{' and '.join(areas)} changed: the version must rise above {before}",
                path=_PROJECT,
                line=_line(root / _PROJECT, "version"),
            )
        yield from _entries(root, repository, baseline, now, areas)


def _entries(
    root: Path, repository: Repository, baseline: Baseline, now: str, areas: list[str]
) -> Iterator[Finding]:
    changelog = root / _CHANGELOG
    text = changelog.read_text() if changelog.exists() else ""
    new = _section(text, now) - _section(repository.read(baseline.revision, _CHANGELOG) or "", now)
    for area in areas:
        if not any(entry.startswith(f"{area}:") for entry in new):
            yield Finding(
                rule="CHANGELOG_ENTRY_MISSING",
                message=f"{area} changed: its entry '- {area}: ...' under [{now}] is missing",
                path=_CHANGELOG,
                line=_line(changelog, f"## [{now}]") if changelog.exists() else 0,
            )


def _version(text: str) -> str | None:
    try:
        found = tomllib.loads(text).get("project", {}).get("version")
    except tomllib.TOMLDecodeError:
        return None
    return found if isinstance(found, str) and _VERSION.fullmatch(found) else None


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


def _section(text: str, number: str) -> set[str]:
    """Read the entries under a version, each with its lines joined."""
    entries: list[str] = []
    inside = False
    for line in text.splitlines():
        if line.startswith("## "):
            inside = line.startswith(f"## [{number}]")
        elif inside and line.startswith(("- ", "* ")):
            entries.append(line[2:].strip())
        elif inside and entries and line.startswith("  "):
            entries[-1] += " " + line.strip()
    return set(entries)


def _line(path: Path, start: str) -> int:
    lines = path.read_text().splitlines()
    return next((number for number, line in enumerate(lines, 1) if line.startswith(start)), 0)
