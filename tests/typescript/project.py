"""The contract's TypeScript: installed once, generated and compiled outside of the sources."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = Path(__file__).parent
# Git-ignored. Not in tests/: what npm brings would be searched by whoever searches the tests.
BUILD = ROOT / "build" / "typescript"
OLDEST = 20


def why_not() -> str | None:
    """Why TypeScript cannot be checked on this machine; None where it can."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        lost = "node" if node is None else "npm"
        return f"no {lost} on PATH; TypeScript needs Node {OLDEST} or newer"
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.", said)
    if version is None or int(version[1]) < OLDEST:
        return f"{node} is {said.strip() or 'broken'}; TypeScript needs Node {OLDEST} or newer"
    return None


def run(*command: str | Path, cwd: Path = BUILD, timeout: float = 120, **variables: str) -> str:
    """Run a program; what it said, or an AssertionError that holds it."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{' '.join(map(str, command))} failed:\n{said}"
    return said


def environment(**variables: str) -> dict[str, str]:
    """Our environment, with the project's buf and the installed plugins first on PATH."""
    tools = [BUILD / "node_modules/.bin", Path(sys.executable).parent]
    path = os.pathsep.join([*map(str, tools), os.environ.get("PATH", os.defpath)])
    return os.environ | {"PATH": path, "NO_COLOR": "1"} | variables


def build() -> None:
    """Install what the lock names, generate from the protos, compile; redo only what is stale.

    Within one run nothing gets stale: what one worker has built, the others use.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers of one run, two runs in one clone
        installing = [SOURCES / name for name in ("package.json", "package-lock.json", ".npmrc")]
        # A native compiler is among the packages: another Node may mean another machine.
        node = subprocess.run(["node", "--version"], capture_output=True, check=True).stdout
        _stage(BUILD / "node_modules", _install, _digest(installing, node))

        rules = ROOT / "third_party/protovalidate"
        protos = [*(ROOT / "proto").rglob("*.proto"), *rules.rglob("*.proto")]
        generating = [*installing, *protos, ROOT / "buf.yaml", ROOT / "buf.gen.yaml"]
        _stage(BUILD / "gen", _generate, _digest(generating, node))

        sources = [path for path in (SOURCES / "src").rglob("*") if path.is_file()]
        compiling = [*generating, *sources, SOURCES / "tsconfig.json"]
        _stage(BUILD / "dist", _compile, _digest(compiling, node))


def _stage(folder: Path, make: Callable[[], None], digest: str) -> None:
    """Make a folder unless its stamp, written last, says that it is of these inputs."""
    stamp = folder / ".stamp"
    if stamp.exists() and stamp.read_text() == digest:
        return
    stamp.unlink(missing_ok=True)
    make()
    stamp.write_text(digest)


def _install() -> None:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(SOURCES / name, BUILD)
    try:
        run("npm", "ci", "--prefer-offline", timeout=400)
    except AssertionError as error:
        error.add_note("npm ci needs the network once; after it, nothing does")
        raise


def _generate() -> None:
    shutil.rmtree(BUILD / "gen", ignore_errors=True)
    buf = Path(sys.executable).with_name("buf")
    run(buf, "generate", "--output", BUILD, cwd=ROOT)


def _compile() -> None:
    for folder in ("src", "dist"):
        shutil.rmtree(BUILD / folder, ignore_errors=True)
    shutil.copytree(SOURCES / "src", BUILD / "src")
    shutil.copy(SOURCES / "tsconfig.json", BUILD)
    run("tsc")


def _digest(paths: Iterable[Path], more: bytes) -> str:
    found = hashlib.sha256(more)
    for path in sorted(paths):
        found.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()
