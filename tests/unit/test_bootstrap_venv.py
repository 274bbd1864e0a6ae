"""What scripts/_bootstrap does to .venv, and when it does nothing; nothing here is downloaded."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.clones import BASE, Clone

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Give a clone of its own to each test."""
    return Clone(tmp_path)


# -- what is to be done -------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "want", "state"),
    [
        ("demo", "demo", "current"),
        ("dev", "dev", "current"),
        ("dev", "demo", "current"),
        ("demo", "dev", "add"),
    ],
)
def test_the_dev_set_contains_the_demo_set(
    clone: Clone, installed: str, want: str, state: str
) -> None:
    """Who has dev has demo; who has demo gets only the rest."""
    clone.make_venv(installed)
    assert clone.state(want) == state


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ("pyproject.toml", "project"),
        ("scripts/requirements/demo.txt", "rebuild"),
        ("scripts/requirements/dev.txt", "current"),
    ],
)
def test_a_change_costs_what_it_needs(clone: Clone, changed: str, state: str) -> None:
    """A new lock makes .venv anew, a new pyproject.toml only links the project again."""
    clone.make_venv("demo")
    clone.append(changed)
    assert clone.state("demo") == state


def test_a_moved_clone_is_noticed(clone: Clone) -> None:
    """A .venv that moved with its clone still starts, and is made anew all the same."""
    clone.make_venv("demo")
    clone.root = clone.root.rename(clone.root.with_name("another place"))
    assert clone.state("demo") == "rebuild"


def test_another_python_is_noticed(clone: Clone) -> None:
    """PYTHON names another interpreter than .venv was made with: made anew."""
    clone.make_venv("demo")
    version = ".".join(str(part) for part in sys.version_info[:3])
    assert clone.state("demo", f"{version} {BASE.resolve()}") == "current"
    assert clone.state("demo", f"{version} /another/python") == "rebuild"


def test_a_dead_interpreter_is_noticed(clone: Clone) -> None:
    """A .venv whose Python was uninstalled is made anew."""
    link = clone.make_venv("demo") / "bin" / "python"
    link.unlink()
    link.symlink_to("/nonexistent/python")
    assert clone.state("demo") == "rebuild"


def test_an_unstamped_venv_is_not_trusted(clone: Clone) -> None:
    """An install that was killed, or a .venv from elsewhere, is made anew."""
    (clone.make_venv("demo") / ".cartsnitch-stamp").unlink()
    assert clone.state("demo") == "rebuild"


# -- doing it -----------------------------------------------------------------


def test_nothing_to_do_is_quick_and_quiet(clone: Clone) -> None:
    """A call with nothing to do takes well under 0.3 s, says nothing, and selects .venv."""
    clone.make_venv("dev")
    show = 'echo "$VIRTUAL_ENV"; echo "${PATH%%:*}"; echo "${PYTHONPATH-unset}"'
    env = {"VIRTUAL_ENV": "/another/venv", "PYTHONPATH": "/another/project"}
    venv = f"{clone.root}/.venv"
    durations = []
    for _ in range(3):  # the machine may be busy; the best of three counts
        start = time.perf_counter()
        done = clone.run(f"ensure_venv demo; {show}", **env)
        durations.append(time.perf_counter() - start)
        assert done.stdout.splitlines() == [venv, f"{venv}/bin", "unset"]
        assert done.stderr == ""
    assert min(durations) < 0.3


def test_the_rest_of_dev_is_added_and_stamped(clone: Clone) -> None:
    """From demo to dev: pip is given the dev lock with its hashes, then the project, offline."""
    clone.make_venv("demo")
    done = clone.run(
        f"_pip() {{ echo \"$*\" >>'{clone.home}'; }}; PYTHON='{BASE}'; ensure_venv dev"
    )
    assert done.returncode == 0, done.stderr
    packages, project = clone.home.read_text(encoding="utf-8").splitlines()
    assert "--require-hashes" in packages
    assert packages.endswith("requirements/dev.txt")
    assert "--no-index" in project
    assert project.endswith("-e .")
    assert clone.state("dev") == "current"


def test_a_failed_install_shows_pips_words_and_is_not_trusted(clone: Clone) -> None:
    """When pip fails, its last lines are shown, the exit code is 4, and .venv starts afresh."""
    clone.make_venv("demo")
    done = clone.run(
        f"_pip() {{ echo 'no such wheel'; return 1; }}; PYTHON='{BASE}'; ensure_venv dev"
    )
    assert done.returncode == 4
    assert "no such wheel" in done.stderr
    assert "error: the packages could not be installed" in done.stderr
    assert clone.state("demo") == "rebuild"


def test_a_mistake_in_pyproject_does_not_cost_the_packages(clone: Clone) -> None:
    """If only the project fails to install, the next call tries only the project."""
    clone.make_venv("dev")
    clone.append("pyproject.toml")
    done = clone.run(f"_pip() {{ return 1; }}; PYTHON='{BASE}'; ensure_venv dev")
    assert done.returncode == 4
    assert "error: this project could not be installed" in done.stderr
    assert clone.state("dev") == "project"


def test_a_stale_venv_stays_if_no_python_can_replace_it(clone: Clone) -> None:
    """Nothing is deleted before there is a Python to make it anew with."""
    venv = clone.make_venv("demo")
    clone.append("scripts/requirements/demo.txt")
    done = clone.run("_pyenv_roots() { :; }; _uv_folders() { :; }; ensure_venv demo")
    assert done.returncode == 3
    assert (venv / "pyvenv.cfg").exists()


@pytest.mark.parametrize("kind", ["folder", "file", "link"])
def test_what_is_not_ours_is_left_alone(clone: Clone, tmp_path: Path, kind: str) -> None:
    """A .venv that is no virtual environment, or leads outside, is refused and stays whole."""
    venv = clone.root / ".venv"
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "notes").write_text("precious", encoding="utf-8")
    if kind == "link":
        venv.symlink_to(outside)
    elif kind == "folder":
        outside.rename(venv)
    else:
        (outside / "notes").rename(venv)
    done = clone.run(f"PYTHON='{BASE}'; ensure_venv demo")
    assert done.returncode == 3
    assert "move it away" in done.stderr
    kept = venv if kind == "file" else venv / "notes"
    assert kept.read_text(encoding="utf-8") == "precious"


def test_emptying_keeps_the_folder_and_can_be_cut_short(clone: Clone) -> None:
    """The folder itself stays (it may be a mounted volume) and stays known as ours."""
    venv = clone.make_venv("demo")
    before = venv.stat().st_ino
    assert clone.run("_empty_venv").returncode == 0
    assert venv.stat().st_ino == before
    assert [path.name for path in venv.iterdir()] == [".cartsnitch"]
    (venv / "rest").touch()
    assert clone.run("_empty_venv").returncode == 0


def test_two_at_once_take_turns(clone: Clone) -> None:
    """The second caller says that it waits, and goes on when the first lets go."""
    holder = os.open(clone.root, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            ["bash", "-c", f'. "{clone.root}/scripts/_bootstrap"; _lock "{BASE}"'],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        with waiting.stderr:
            assert "waiting" in waiting.stderr.readline()
            assert waiting.poll() is None
            fcntl.flock(holder, fcntl.LOCK_UN)
            assert waiting.wait(timeout=10) == 0
    finally:
        os.close(holder)


def test_an_unknown_set_is_refused(clone: Clone) -> None:
    """A script's typing mistake is exit code 2, not an install of something."""
    done = clone.run("ensure_venv production")
    assert done.returncode == 2
    assert not (clone.root / ".venv").exists()
