"""Prove the wheel on every runtime that ``pyproject.toml`` allows, in clean environments.

The axes are Python, protobuf, SQLAlchemy and grpcio, each at the oldest version of
its range and at the newest that the registry has; everything else is as locked.
A Python of the range that is not on this machine is named, never left out silently.

Exit codes: 0 everything held, 1 something did not, 2 wrong use.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from _clean import ROOT, UnfitEnvironmentError, build_wheel, make_environment, pins, uv_environment

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBE: Final = ROOT / "scripts/_matrix_probe.py"
AXES: Final = ("protobuf", "sqlalchemy", "grpcio")
# What moves with an axis: releases of one project pin each other and protobuf.
FREE: Final = "protobuf|sqlalchemy|grpcio(-.*)?|googleapis-common-protos"
TIMEOUT: Final = 120
# protobuf 7 says at import that code for 6 will not load on 8; the range ends there for it.
QUIET: Final = "ignore:Protobuf gencode version:UserWarning"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One environment.

    Attributes:
        minor: The Python, such as ``3.12``.
        oldest: The axes that are at the oldest version; the others are at the newest.
    """

    minor: str
    oldest: frozenset[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cells, print a line for each as it ends, and what was left out."""
    parser = argparse.ArgumentParser(prog="scripts/check", description=__doc__.splitlines()[0])
    parser.add_argument("--ends", action="store_true", help="all oldest and all newest only")
    options = parser.parse_args(arguments)
    pythons = find_pythons()
    missing = [minor for minor in minors() if minor not in pythons]
    chosen = cells(sorted(pythons, key=_number), ends=options.ends)
    print(
        f"{'python':8} {'protobuf':10} {'sqlalchemy':11} {'grpcio':9} {'took':7} result", flush=True
    )
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(Path(folder))
        environment = uv_environment()
        for number, cell in enumerate(chosen):
            start = time.monotonic()
            place = Path(folder) / str(number)
            try:
                found = run_cell(cell, pythons[cell.minor], wheel, place, environment)
                result = f"ok, {found['messages']} messages"
            except UnfitEnvironmentError as error:
                failed += 1
                found = {axis: "oldest" if axis in cell.oldest else "newest" for axis in AXES}
                result = f"FAILED\n{error}"
            versions = f"{found['protobuf']:10} {found['sqlalchemy']:11} {found['grpcio']:9}"
            took = time.monotonic() - start
            print(f"{cell.minor:8} {versions} {took:4.1f} s  {result}", flush=True)
    for minor in missing:
        print(f"NOT RUN: Python {minor} is not on this machine")
    print(f"{len(chosen) - failed} of {len(chosen)} environments hold")
    return 1 if failed or not chosen else 0


def minors() -> list[str]:
    """The Pythons of the range, oldest first."""
    declared = str(_project()["requires-python"])
    match = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", declared)
    if match is None:
        raise SystemExit(f"requires-python has another form: {declared}")
    return [f"3.{minor}" for minor in range(int(match[1]), int(match[2]))]


def floors() -> dict[str, str]:
    """The oldest version of each axis, as ``pyproject.toml`` declares it."""
    project = _project()
    extras = project["optional-dependencies"].values()
    found: dict[str, str] = {}
    for requirement in itertools.chain(project["dependencies"], *extras):
        match = re.match(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+)", requirement)
        if match and match[1] in AXES:
            found[match[1]] = match[2]
    if missing := set(AXES) - set(found):
        raise SystemExit(f"pyproject.toml declares no floor of {', '.join(sorted(missing))}")
    return found


def find_pythons() -> dict[str, str]:
    """The Pythons of the range on this machine, by their minor version."""
    shell = f'. "{ROOT}/scripts/_bootstrap"; _candidates'
    listed = subprocess.run(  # noqa: S603
        ["bash", "-c", shell],  # noqa: S607 - the scripts are bash's
        capture_output=True,
        text=True,
        check=True,
    )
    wanted, found = minors(), dict[str, str]()
    for candidate in [sys.executable, *listed.stdout.splitlines()]:
        # A pyenv shim or a broken link looks like a program all the same; running it tells.
        program = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run(  # noqa: S603
            [candidate, "-c", program], capture_output=True, text=True, check=False
        )
        minor = done.stdout.strip()
        if done.returncode == 0 and minor in wanted:
            found.setdefault(minor, candidate)
    return found


def cells(available: Sequence[str], *, ends: bool) -> list[Cell]:
    """The environments to make: the two ends, or every combination."""
    if not available:
        return []
    if ends:
        return [
            Cell(minor=available[0], oldest=frozenset(AXES)),
            Cell(minor=available[-1], oldest=frozenset()),
        ]
    sets = [
        frozenset(combination)
        for size in range(len(AXES), -1, -1)
        for combination in itertools.combinations(AXES, size)
    ]
    return [Cell(minor=minor, oldest=oldest) for minor in available for oldest in sets]


def run_cell(
    cell: Cell, python: str, wheel: Path, place: Path, environment: dict[str, str]
) -> dict[str, str]:
    """Make a cell's environment and run the probe in it.

    Returns:
        The versions that the probe ran on.

    Raises:
        UnfitEnvironmentError: The environment could not be made, the probe failed
            or it ran on other versions than the cell says.
    """
    oldest = floors()
    constraints = pins(without=FREE)
    constraints += [f"{axis}=={oldest[axis]}" for axis in sorted(cell.oldest)]
    own = make_environment(
        place, wheel, "db,grpc", python=python, constraints=constraints, environment=environment
    )
    done = subprocess.run(  # noqa: S603
        [own, "-I", "-W", "error", "-W", QUIET, PROBE],
        cwd=place,
        env={},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    if done.returncode:
        raise UnfitEnvironmentError(done.stderr)
    found: dict[str, str] = json.loads(done.stdout)
    for axis in AXES:
        at_floor = _number(found[axis]) == _number(oldest[axis])
        if at_floor != (axis in cell.oldest):
            raise UnfitEnvironmentError(f"{axis} is {found[axis]}, which is not what was asked for")
    return found


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project


if __name__ == "__main__":
    raise SystemExit(main())
