"""Clean environments with the wheel in them, by uv and from the registry that pip uses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT: Final = Path(__file__).resolve().parent.parent
LOCK: Final = ROOT / "scripts/requirements/dev.txt"

# What pip is told about the machine's registry, in uv's words: the project is installed with pip.
_IN_UV: Final = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
}


class UnfitEnvironmentError(Exception):
    """a clean environment could not be made."""


def uv_environment() -> dict[str, str]:
    """The environment of a uv that uses the registry that pip uses, if pip is told one."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    listed = _run(sys.executable, "-m", "pip", "config", "list")
    told = dict(re.findall(r"^global\.([\w-]+)='(.*)'$", listed, re.MULTILINE))
    for ours, theirs in _IN_UV.items():
        option = ours.removeprefix("PIP_").lower().replace("_", "-")
        value = os.environ.get(ours) or told.get(option)
        if value:
            environment.setdefault(theirs, value)
    # uv's own certificates know no company's; pip trusts the system's.
    environment.setdefault("UV_SYSTEM_CERTS", "1")
    # As pip does: the lock says which version, not the order of the registries.
    environment.setdefault("UV_INDEX_STRATEGY", "unsafe-best-match")
    return environment


def build_wheel(folder: Path) -> Path:
    """Build the wheel by way of the source archive, as a release is."""
    _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT))
    (path,) = folder.glob("*.whl")
    return path


def pins(*, without: str = "") -> list[str]:
    """The locked versions, as constraints, with their markers.

    Args:
        without: A pattern of the names that shall be free.
    """
    found: list[str] = re.findall(r"^([\w.-]+==[^\\\n]+)", LOCK.read_text(), re.MULTILINE)
    return [
        pin.strip()
        for pin in found
        if not (without and re.fullmatch(without, pin.partition("==")[0]))
    ]


def make_environment(
    place: Path,
    wheel: Path,
    extras: str,
    *,
    python: str = sys.executable,
    constraints: list[str] | None = None,
    more: tuple[str, ...] = (),
    environment: Mapping[str, str] | None = None,
) -> Path:
    """Make an environment with the wheel; return its Python.

    Args:
        place: The folder to make it in.
        wheel: What to install.
        extras: Its extras, separated by commas; empty for none.
        python: The interpreter.
        constraints: Versions; those of the lock unless given.
        more: Other requirements.
        environment: That of :func:`uv_environment`, if it is known already.

    Raises:
        UnfitEnvironmentError: uv failed; what it said is the message.
    """
    uv = str(Path(sys.executable).with_name("uv"))
    known = dict(environment or uv_environment())
    _run(uv, "venv", "--clear", "--no-python-downloads", "--python", python, str(place), env=known)
    versions = place / "constraints.txt"
    versions.write_text("\n".join(pins() if constraints is None else constraints))
    own = place / "bin" / "python"
    name = f"cartsnitch-common[{extras}]" if extras else "cartsnitch-common"
    target = f"{name} @ {wheel.as_uri()}"
    command = [uv, "pip", "install", "--python", str(own), "--constraints", str(versions)]
    _run(*command, target, *more, env=known)
    return own


def _run(*command: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise UnfitEnvironmentError(done.stderr.strip() or done.stdout.strip())
    return done.stdout
