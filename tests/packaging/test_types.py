"""What type checkers see of the installed wheel, in a service of another repository."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.packaging.clean import program

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]  # a cold cache downloads

SERVICE = Path(__file__).parents[1] / "sample_service"
# What a service's own development environment has beside the wheel.
TYPES = ("types-protobuf", "types-grpcio", "betterproto2[pydantic]")
type Checker = Callable[[Path], Iterator[tuple[str, int, str]]]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The service, far from this project's files and settings, and its environment."""
    folder = tmp_path_factory.mktemp("service")
    clean = program("_clean")
    wheel = clean.build_wheel(folder)
    clean.make_environment(folder / "venv", wheel, "db,events,grpc", more=TYPES)
    shutil.copytree(
        SERVICE, folder / "sample_service", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def by_mypy(service: Path) -> Iterator[tuple[str, int, str]]:
    """What ``mypy --strict`` says: file, line and words."""
    done = run(service, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary",
               "--python-executable", "venv/bin/python", "sample_service")  # fmt: skip
    assert done.returncode in {0, 1}, done.stderr
    for line in done.stdout.splitlines():
        match = re.fullmatch(r"(\S+?):(\d+): error: (.*)", line)
        if match:
            yield Path(match[1]).name, int(match[2]), match[3]
        else:
            assert ": note: " in line, line


def by_pyright(service: Path) -> Iterator[tuple[str, int, str]]:
    """What pyright in its strict mode says, but for lines that have no effect.

    A mistake must be found for its types, not because its line does nothing.
    """
    off = dict.fromkeys(("reportUnusedExpression", "reportUnusedImport"), False)
    (service / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", **off}))
    done = run(service, "-m", "pyright", "--outputjson", "--pythonpath", "venv/bin/python",
               "sample_service")  # fmt: skip
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    for found in json.loads(done.stdout)["generalDiagnostics"]:
        line = found["range"]["start"]["line"] + 1
        yield Path(found["file"]).name, line, found["message"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("checker", [by_mypy, by_pyright])
def test_a_service_is_checked_to_the_last_line(service: Path, checker: Checker) -> None:
    """The service passes, and each marked mistake is found, and nothing that is none."""
    said = {(file, line): words for file, line, words in checker(service)}
    wrong = (SERVICE / "wrong.py").read_text().splitlines()
    marked = {("wrong.py", number) for number, line in enumerate(wrong, 1) if "# wrong" in line}
    assert len(marked) > 20
    assert {place: words for place, words in said.items() if place not in marked} == {}
    assert marked - set(said) == set()
