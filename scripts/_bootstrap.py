"""The part of ``_bootstrap`` that Python has to answer; see there for what it promises.

``judge`` is run by interpreters of any age, so this file imports little and says ``is too old``
from Python 3.7 on; on older ones it fails, which counts as "does not run".

Exit codes: 0 answered, 10 ``judge`` found a reason against its interpreter, other codes: a bug.
"""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from pathlib import Path

OLDEST = (3, 12)
TOO_NEW = (3, 15)
REFUSED = 10
LOCK_DESCRIPTOR = 9
STAMP = ".venv/.cartsnitch-stamp"


def main() -> int:
    """Run ``judge``, ``lock``, ``state ROOT SET CHOSEN`` or ``stamp ROOT SET linked|failed``."""
    command, *arguments = sys.argv[1:]
    if command == "judge":
        return _judge()
    if command == "lock":
        _lock()
    elif command == "state":
        print(_state(*arguments))
    else:
        _write_stamp(*arguments)
    return 0


def _judge() -> int:
    """Print version, executable and its real path, or what makes this Python unfit."""
    reason = _reason_against()
    if reason:
        print("Python", _version(), reason)
        return REFUSED
    executable = _base_executable()
    print(_version(), executable, os.path.realpath(executable), sep="\t")
    return 0


def _reason_against() -> str:
    """Say why no environment can be made with this Python; empty if one can."""
    if sys.version_info[:2] < OLDEST:
        return "is too old"
    if sys.version_info[:2] >= TOO_NEW:
        return "is too new: the locked packages have no builds for it"
    if sys.version_info[3] != "final":
        return "is a pre-release"
    if sys.implementation.name != "cpython":
        return "is not CPython"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "is the free-threaded build"
    # Debian leaves ensurepip out of python3; a Python built without OpenSSL has no ssl.
    missing = [name for name in ("ensurepip", "venv", "ssl") if not _importable(name)]
    return "has no " + ", ".join(missing) if missing else ""


def _importable(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


def _version() -> str:
    return ".".join(str(part) for part in sys.version_info[:3])


def _base_executable() -> str:
    """Return the interpreter below any environment: an environment may be deleted."""
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    return base if os.access(base, os.X_OK) else sys.executable


def _lock() -> None:
    """Lock the open file that the shell handed down; the lock stays when this ends.

    macOS has no ``flock`` command. A file system without locks goes unlocked.
    """
    import fcntl  # noqa: PLC0415  (not on Windows, where judge still has to answer)

    try:
        fcntl.flock(LOCK_DESCRIPTOR, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("another script is preparing .venv; waiting for it ...\n")
        sys.stderr.flush()
        fcntl.flock(LOCK_DESCRIPTOR, fcntl.LOCK_EX)
    except OSError:
        return


def _state(root: str, wanted: str, chosen: str) -> str:
    """Compare what .venv was made from with what stands in the clone now.

    Args:
        root: The project's folder.
        wanted: ``demo`` or ``dev``; ``demo`` is a part of ``dev``.
        chosen: The version and real path of the Python that was asked for, or nothing.

    Returns:
        ``current``; ``project`` if only this project is to be installed again; ``add`` if the rest
        of the dev set is missing; else ``rebuild``.
    """
    lines = Path(root, STAMP).read_text(encoding="utf-8").splitlines()
    stamp = dict(line.partition("=")[::2] for line in lines)
    now = _facts(root, stamp["set"])
    stale = {key for key, value in now.items() if stamp.get(key) != value}
    # A moved clone's .venv still starts, but its scripts and its link to src/ lead to the old
    # place: "root" is stale then. Another prefix: bin/python was replaced by something else.
    foreign = sys.prefix != str(Path(root, ".venv"))
    if foreign or stale - {"project"} or chosen not in {"", now["python"]}:
        return "rebuild"
    if stamp["set"] == "demo" and wanted == "dev":
        return "add"
    return "project" if stale else "current"


def _write_stamp(root: str, installed: str, project: str) -> None:
    """Record what .venv holds. Atomic: half a stamp would be a lie.

    Args:
        root: The project's folder.
        installed: The set of packages, ``demo`` or ``dev``.
        project: ``linked``, or ``failed`` if all but the project itself was installed.
    """
    facts = _facts(root, installed)
    if project == "failed":
        facts["project"] = project
    lines = [f"{key}={value}\n" for key, value in facts.items()]
    new = Path(root, STAMP + ".new")
    new.write_text("".join(lines), encoding="utf-8")
    new.replace(Path(root, STAMP))


def _facts(root: str, name: str) -> dict[str, str]:
    """Return everything that the content of .venv follows from."""
    return {
        "set": name,
        "root": root,
        "python": _version() + " " + os.path.realpath(_base_executable()),
        "lock": _digest(root, "scripts", "requirements", name + ".txt"),
        "project": _digest(root, "pyproject.toml"),
    }


def _digest(*parts: str) -> str:
    """Return a file's SHA-256, or ``absent``."""
    try:
        return hashlib.sha256(Path(*parts).read_bytes()).hexdigest()
    except FileNotFoundError:
        return "absent"


if __name__ == "__main__":
    sys.exit(main())
