"""The private directory that a set of embedded servers lives in.

Root cannot run PostgreSQL, and should not run Valkey. Root therefore runs both
as an account that exists already: ``nobody``. An unused user id would separate
better, but initdb and postgres look their account up by name and refuse an id
that has none. No account is made and no foreign directory is changed.

The layout, with who owns what when root starts the servers::

    cartsnitch-<random>/    root, group of the account, 0710: it may pass, not list
        guard.log           root, 0600, as the servers' logs
        state.json          root, 0600, only when the servers are kept
        programs/           root, 0755: the copied programs, if they need copying
        valkey.conf         root, group of the account, 0640
        postgres/           the account, 0700
        valkey/             the account, 0700

For anyone else all of it is their own, and 0700 or 0600.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from cartsnitch_common.embedded.guard import Account, Guard
from cartsnitch_common.embedded.names import BOTH
from cartsnitch_common.errors import EmbeddedServerError

_PREFIX = "cartsnitch-"
_FALLBACKS = (Path("/var/tmp"), Path("/tmp"), Path("/dev/shm"))  # noqa: S108 - only with mkdtemp
_NEEDED_BYTES = 200 * 1024 * 1024
"""A new cluster takes 40 MB, its log of writes up to 80 MB and the programs 30 MB."""


class RuntimeDirectory:
    """A private directory with a guard that removes it.

    Attributes:
        path: The directory.
        account: Who the servers run as, or None for the user of this process.
        guard: The process that runs the servers.
    """

    def __init__(self, path: Path, account: Account | None, guard: Guard) -> None:
        """Take over what ``create`` made."""
        self.path = path
        self.account = account
        self.guard = guard

    @classmethod
    def create(cls, parent: Path | None = None) -> Self:
        """Make a private directory and start its guard.

        Args:
            parent: Where to make it. By default the temporary directory, or
                another one if the servers' account cannot enter that.

        Raises:
            EmbeddedServerError: no place is fit for it.
        """
        account = _unprivileged_account() if os.geteuid() == 0 else None
        path = _make_directory(parent, account)
        try:
            return cls(path, account, Guard(path, account))
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise

    def make_folder(self, name: str) -> Path:
        """A folder in it that belongs to the servers' account alone."""
        folder = self.path / name
        folder.mkdir(mode=0o700)
        if self.account is not None:
            os.chown(folder, self.account.uid, self.account.gid)
        return folder

    def write(self, name: str, content: str) -> Path:
        """A file in it that the servers' account may read but not change."""
        path = self.path / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if self.account is not None:
                os.fchown(descriptor, 0, self.account.gid)
                os.fchmod(descriptor, 0o640)
            file.write(content)
        return path

    def close(self) -> None:
        """End the servers and remove the directory. May be repeated."""
        self.guard.close()


def run_as(account: Account | None, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a short program as the servers' account and return its output."""
    return subprocess.run(  # noqa: S603 - the programs are ours or named by a setting
        [str(argument) for argument in arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=30,
        check=False,
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )


def _unprivileged_account() -> Account:
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedServerError(
            BOTH, "root cannot run them, and there is no account 'nobody' to run them as"
        ) from error
    account = Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)
    try:
        run_as(account, "/bin/sh", "-c", ":")
    except (OSError, subprocess.SubprocessError) as error:
        # A container without the capability, or whose user namespace holds root alone.
        reason = error.strerror if isinstance(error, OSError) else error
        raise EmbeddedServerError(
            BOTH, f"root cannot run them, and may not run a program as 'nobody': {reason}"
        ) from error
    return account


def _make_directory(parent: Path | None, account: Account | None) -> Path:
    if parent is not None:
        candidates = [parent]
    else:
        candidates = list(dict.fromkeys([Path(tempfile.gettempdir()), *_FALLBACKS]))
    refusals = []
    for candidate in candidates:
        try:
            path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=candidate.absolute()))
        except OSError as error:
            refusals.append(f"{candidate}: {error.strerror}")
            continue
        try:
            refusal = _unfit(path, account)
        except OSError as error:
            refusal = str(error)
        except BaseException:
            path.rmdir()
            raise
        if refusal is None:
            return path
        path.rmdir()
        refusals.append(f"{candidate}: {refusal}")
    raise EmbeddedServerError(BOTH, f"no place for their directory ({'; '.join(refusals)})")


def _unfit(path: Path, account: Account | None) -> str | None:
    """Open a new directory to the account as far as needed. Say why it cannot be used."""
    volume = os.statvfs(path)
    if volume.f_bavail * volume.f_frsize < _NEEDED_BYTES:
        return f"less than {_NEEDED_BYTES // 1024**2} MB free"
    if account is None:
        return None
    if volume.f_flag & getattr(os, "ST_NOEXEC", 0):
        return "mounted without the right to run programs"
    os.chown(path, 0, account.gid)
    path.chmod(0o710)
    if run_as(account, "/bin/sh", "-c", 'cd "$1"', "sh", path).returncode != 0:
        return f"the account {account.name!r} cannot enter it"
    # Root of a container may lack the right to other users' directories, and
    # could then neither watch the servers nor remove what they wrote.
    probe = path / "probe"
    probe.mkdir(mode=0o700)
    try:
        os.chown(probe, account.uid, account.gid)
        readable = os.access(probe, os.R_OK | os.X_OK)
    finally:
        probe.rmdir()
    return None if readable else f"root may not read directories of {account.name!r}"
