"""Clones of the project on machines that have only what a test gives them, for scripts/."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
BASE = Path(getattr(sys, "_base_executable", None) or sys.executable)
TOOLS = (
    *("awk", "bash", "cat", "chmod", "cut", "date", "dirname", "find", "grep", "id", "ls"),
    *("mkdir", "mktemp", "mv", "rm", "sort", "tail"),
)

# Runs what it is given on the real Python, after a lie about it.
PRETENDER = """#!/bin/sh
exec '{base}' -I -c '
import runpy, sys
{lie}
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
' "$2" "$3"
"""


def program(path: Path, text: str) -> Path:
    """Write an executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return path


def python(path: Path, version: tuple[int, int, int] = (3, 12, 9), *, lie: str = "") -> Path:
    """Write a Python that works and says it is of this version, or another lie."""
    lie = lie or f"sys.version_info = (*{version}, 'final', 0)".replace("'", '"')
    return program(path, PRETENDER.format(base=BASE, lie=lie))


def shim(path: Path) -> Path:
    """Write what pyenv leaves on PATH for a version that is not switched on."""
    return program(path, "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")


class Clone:
    """A clone of the project, its path with a space, on a machine that has nothing."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a clone"
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.account = folder / "account"
        shutil.copytree(SCRIPTS, self.root / "scripts", ignore=shutil.ignore_patterns(".*", "__*"))
        (self.root / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
        for name in TOOLS:
            found = shutil.which(name)
            assert found, name
            self.bin.mkdir(exist_ok=True)
            (self.bin / name).symlink_to(found)
        program(self.bin / "getent", f"#!/bin/sh\necho 'me:x:1:1::{self.account}:/bin/sh'\n")

    def run(
        self, script: str, *, path: str = "", **env: str | Path
    ) -> subprocess.CompletedProcess[str]:
        """Run bash code after sourcing _bootstrap, without this machine's own pyenv folders."""
        code = f'set -euo pipefail; . "{self.root}/scripts/_bootstrap"; {script}'
        return subprocess.run(
            ["bash", "-c", code],
            env={"PATH": f"{path or self.bin}", "HOME": str(self.home)}
            | {name: str(value) for name, value in env.items()},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def find_python(self, *, path: str = "", **env: str | Path) -> subprocess.CompletedProcess[str]:
        """Look for a Python on PATH and at uv only."""
        code = "_pyenv_roots() { :; }; _uv_folders() { :; }; find_python"
        return self.run(code, path=path, **env)

    def make_venv(self, name: str) -> Path:
        """Make a .venv as an install of this set leaves it, less the packages and pip."""
        venv = self.root / ".venv"
        (venv / "bin").mkdir(parents=True)
        (venv / "bin" / "python").symlink_to(BASE)
        (venv / "pyvenv.cfg").write_text(
            f"home = {BASE.parent}\ninclude-system-site-packages = false\n", encoding="utf-8"
        )
        done = self.run(f'"$VENV_PYTHON" -I "$_HELPER" stamp "$ROOT" {name} linked')
        assert done.returncode == 0, done.stderr
        return venv

    def state(self, want: str, chosen: str = "") -> str:
        """Ask what an ensure_venv of this set would have to do."""
        return self.run(f"_venv_state {want} '{chosen}'").stdout.strip()

    def append(self, name: str) -> None:
        """Change a file of the clone."""
        with (self.root / name).open("a", encoding="utf-8") as file:
            file.write("# changed\n")
