"""Which Python scripts/_bootstrap finds, and what it says when there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clones import Clone, program, python, shim

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOO_OLD = 'sys.version_info = (3, 11, 9, "final", 0)'
NO_ENSUREPIP = 'sys.version_info = (3, 12, 3, "final", 0); sys.modules["ensurepip"] = None'


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Give a clone of its own to each test."""
    return Clone(tmp_path)


def test_a_broken_shim_is_skipped(clone: Clone) -> None:
    """A python3.13 that exists but fails does not hide a python3.12 that works."""
    shim(clone.bin / "python3.13")
    python(clone.bin / "python3.12", (3, 12, 9))
    assert clone.find_python().stdout.startswith("3.12.9\t/")


def test_a_broken_shim_does_not_hide_its_namesake(clone: Clone, tmp_path: Path) -> None:
    """A shim first on PATH is skipped for the working Python of the same name behind it."""
    shim(tmp_path / "shims" / "python3.12")
    python(clone.bin / "python3.12", (3, 12, 9))
    found = clone.find_python(path=f"{tmp_path / 'shims'}:{clone.bin}")
    assert found.stdout.startswith("3.12.9\t/")


def test_the_best_supported_version_comes_first(clone: Clone) -> None:
    """Of several usable versions 3.13 is taken, whatever plain python3 is."""
    for name, version in {
        "python3": (3, 12, 1),
        "python3.12": (3, 12, 2),
        "python3.13": (3, 13, 3),
        "python3.14": (3, 14, 4),
    }.items():
        python(clone.bin / name, version)
    assert clone.find_python().stdout.startswith("3.13.3\t/")


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        (TOO_OLD, "3.11.9 is too old"),
        ('sys.version_info = (3, 15, 0, "final", 0)', "3.15.0 is too new"),
        ('sys.version_info = (3, 14, 0, "beta", 1)', "is a pre-release"),
        ('sys.modules["ssl"] = None', "has no ssl"),
        (
            "import sysconfig; sysconfig.get_config_var = lambda name: 1",
            "is the free-threaded build",
        ),
    ],
)
def test_an_unfit_python_is_refused_with_the_reason(clone: Clone, lie: str, reason: str) -> None:
    """If no Python is fit, the exit code is 3 and each one found is named with its fault."""
    path = python(clone.bin / "python3", lie=lie)
    found = clone.find_python()
    assert found.returncode == 3
    assert found.stdout == ""
    assert str(path) in found.stderr
    assert reason in found.stderr
    assert "Traceback" not in found.stderr


def test_a_python_without_ensurepip_says_what_to_install(clone: Clone) -> None:
    """Where Debian's bare python3 is the only one, the answer names its missing package."""
    python(clone.bin / "python3.12", lie=NO_ENSUREPIP)
    found = clone.find_python()
    assert found.returncode == 3
    assert "has no ensurepip" in found.stderr
    assert "install python3.12-venv" in found.stderr


def test_a_python_without_ensurepip_is_skipped(clone: Clone) -> None:
    """Debian's bare python3.13 does not keep a complete python3.12 from being used."""
    python(clone.bin / "python3.13", lie=NO_ENSUREPIP)
    python(clone.bin / "python3.12", (3, 12, 9))
    assert clone.find_python().stdout.startswith("3.12.9\t/")


def test_nothing_at_all_is_said_clearly(clone: Clone) -> None:
    """On a machine with no Python and no uv the message says where it looked."""
    found = clone.find_python()
    assert found.returncode == 3
    assert "no python3 and no uv on PATH" in found.stderr


def test_the_chosen_python_is_used(clone: Clone, tmp_path: Path) -> None:
    """PYTHON wins over a better one on PATH."""
    python(clone.bin / "python3.13", (3, 13, 3))
    chosen = python(tmp_path / "my pythons" / "py", (3, 12, 5))
    assert clone.find_python(PYTHON=chosen).stdout.startswith("3.12.5\t/")


@pytest.mark.parametrize("make", [None, shim, lambda path: python(path, lie=TOO_OLD)])
def test_a_bad_choice_is_never_replaced(
    clone: Clone, tmp_path: Path, make: Callable[[Path], Path] | None
) -> None:
    """A PYTHON that is missing, broken or too old is an error, though PATH has a good one."""
    python(clone.bin / "python3.13", (3, 13, 3))
    chosen = tmp_path / "chosen"
    if make is not None:
        make(chosen)
    found = clone.find_python(PYTHON=chosen)
    assert found.returncode == 3
    assert found.stdout == ""
    assert f"PYTHON={chosen}" in found.stderr


def test_pyenv_is_found_in_the_accounts_home(clone: Clone) -> None:
    """With HOME elsewhere and nothing on PATH, the account's own pyenv serves: newest patch."""
    versions = clone.account / ".pyenv" / "versions"
    python(versions / "3.13.9" / "bin" / "python3.13", (3, 13, 9))
    python(versions / "3.13.10" / "bin" / "python3.13", (3, 13, 10))
    assert clone.run("find_python").stdout.startswith("3.13.10\t/")


def test_pyenv_is_looked_for_in_all_usual_places(clone: Clone, tmp_path: Path) -> None:
    """PYENV_ROOT, both homes, the pyenv on PATH and the system's folders are searched."""
    program(tmp_path / "elsewhere" / "bin" / "pyenv", "#!/bin/sh\n")
    roots = clone.run(
        "_pyenv_roots", path=f"{clone.bin}:{tmp_path}/elsewhere/bin", PYENV_ROOT="/set/by/hand"
    ).stdout.splitlines()
    assert roots == [
        "/set/by/hand",
        f"{clone.home}/.pyenv",
        f"{clone.account}/.pyenv",
        f"{tmp_path}/elsewhere",
        "/opt/pyenv",
        "/usr/local/pyenv",
    ]


def test_uv_is_asked_for_a_python_it_has(clone: Clone, tmp_path: Path) -> None:
    """Where uv alone knows a Python, that one is used."""
    known = python(tmp_path / "uv's" / "python3.13", (3, 13, 7))
    program(clone.bin / "uv", f'#!/bin/sh\n[ "$2" = find ] && echo "{known}"\n')
    assert clone.find_python().stdout.startswith("3.13.7\t/")


def test_uv_may_download_a_python(clone: Clone, tmp_path: Path) -> None:
    """Where there is none at all, uv brings one, and its throw-away environment goes again."""
    ready = python(tmp_path / "ready", (3, 13, 8))
    program(
        clone.bin / "uv",
        '#!/bin/sh\n[ "$1" = venv ] || exit 1\nfor last; do :; done\n'
        f'mkdir -p "$last/bin" && cat "{ready}" >"$last/bin/python"\n'
        'chmod +x "$last/bin/python"\n',
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    found = clone.find_python(TMPDIR=scratch)
    assert found.stdout.startswith("3.13.8\t/")
    assert "asking uv" in found.stderr
    assert list(scratch.iterdir()) == []
