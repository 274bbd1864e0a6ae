"""What scripts/ may download: the locked packages and validate.proto, all by hash."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.clones import SCRIPTS, Clone, program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    """Give a clone of its own to each test."""
    return Clone(tmp_path)


# -- what is installed --------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    """Read a lock file's versions by package."""
    text = (SCRIPTS / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([^ ;\\]+)", text, flags=re.MULTILINE))


def test_both_locks_pin_alike() -> None:
    """Every package of the demo has the same version in the dev set."""
    assert pins("demo.txt")
    assert pins("demo.txt").items() <= pins("dev.txt").items()


@pytest.mark.parametrize("name", ["demo.txt", "dev.txt", "protos.txt"])
def test_a_lock_names_no_host_and_hashes_all(name: str) -> None:
    """The index is the user's setting; no package may be installed unhashed."""
    text = (SCRIPTS / "requirements" / name).read_text(encoding="utf-8")
    assert "://" not in text
    assert "--index-url" not in text
    entries = re.split(r"^(?=[\w.-]+==)", text, flags=re.MULTILINE)[1:]
    assert len(entries) == len(pins(name))
    assert all("--hash=sha256:" in entry for entry in entries)


# -- validate.proto -----------------------------------------------------------


def fake_pip(clone: Clone, text: str) -> None:
    """Put a pip of our own into the clone's .venv."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = clone.make_venv("demo") / "lib" / version / "site-packages" / "pip"
    program(folder / "__init__.py", "")
    program(folder / "__main__.py", text)


def test_without_a_network_validate_proto_is_asked_for_once(clone: Clone) -> None:
    """If pip cannot fetch it, the message says that this is needed once, and nothing is left."""
    fake_pip(clone, "raise SystemExit('no route to the index')\n")
    done = clone.run("ensure_protos")
    assert done.returncode == 4
    assert "no route to the index" in done.stderr
    assert "needed once; then no network" in done.stderr
    assert not [path for path in (clone.root / "third_party").rglob("*") if path.is_file()]


def test_another_validate_proto_is_refused(clone: Clone) -> None:
    """An archive whose file is not the known one, by hash, puts nothing in place."""
    fake_pip(
        clone,
        """
import io, sys, tarfile
folder = sys.argv[sys.argv.index("--dest") + 1]
with tarfile.open(folder + "/protovalidate-1.2.0.tar.gz", "w:gz") as tar:
    member = "protovalidate-1.2.0/upstream/proto/buf/validate/validate.proto"
    info = tarfile.TarInfo(member)
    info.size = 6
    tar.addfile(info, io.BytesIO(b"forged"))
""",
    )
    done = clone.run("ensure_protos")
    assert done.returncode == 1
    assert "not the one that scripts/fetch-protos knows" in done.stderr
    assert not [path for path in (clone.root / "third_party").rglob("*") if path.is_file()]
