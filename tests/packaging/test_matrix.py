"""The two ends of the runtimes that the wheel promises; scripts/check runs everything between."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest

from tests.packaging.clean import program

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]  # a cold cache downloads


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    """The program behind scripts/check."""
    return program("_matrix")


def test_the_oldest_and_the_newest_runtimes_carry_the_wheel(
    matrix: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stubs, rows and services work at both ends, on the versions that were asked for."""
    status = matrix.main(["--ends"])
    lines = capsys.readouterr().out.splitlines()
    assert status == 0, "\n".join(lines)
    oldest = matrix.floors()
    assert lines[1].split()[1:4] == [oldest[axis] for axis in matrix.AXES]
    assert int(lines[2].split()[1].partition(".")[0]) > int(oldest["protobuf"].partition(".")[0])
    assert lines[-1] == "2 of 2 environments hold"
    told = {match[1] for line in lines if (match := re.match(r"NOT RUN: Python (\S+) ", line))}
    assert told == set(matrix.minors()) - set(matrix.find_pythons())


def test_a_failing_environment_fails_the_run(
    matrix: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One cell that does not hold is the exit code, with the reason in the table."""

    def run_cell(cell: object, *_: object) -> dict[str, str]:
        if len(cells) == 1:
            raise matrix.UnfitEnvironmentError("no such version")
        cells.append(cell)
        return {"protobuf": "6", "sqlalchemy": "2", "grpcio": "1", "messages": "78"}

    cells: list[object] = []
    monkeypatch.setattr(matrix, "run_cell", run_cell)
    monkeypatch.setattr(matrix, "build_wheel", lambda folder: folder / "none.whl")
    assert matrix.main(["--ends"]) == 1
    out = capsys.readouterr().out
    assert "FAILED\nno such version" in out
    assert out.endswith("1 of 2 environments hold\n")


def test_the_whole_matrix_crosses_every_axis(matrix: ModuleType) -> None:
    """Each Python meets each combination of oldest and newest once."""
    cells = matrix.cells(["3.12", "3.13"], ends=False)
    assert len(set(cells)) == len(cells) == 2 * 2 ** len(matrix.AXES)
    ends = matrix.cells(["3.12", "3.13"], ends=True)
    assert set(ends) < set(cells)
    assert [cell.minor for cell in ends] == ["3.12", "3.13"]
    assert matrix.cells([], ends=True) == []


def test_the_running_python_is_found(matrix: ModuleType) -> None:
    """The search finds at least the interpreter that runs the tests."""
    minor = "{}.{}".format(*sys.version_info)
    assert minor in matrix.find_pythons()
    assert minor in matrix.minors()
