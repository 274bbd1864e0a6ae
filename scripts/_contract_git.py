"""Which revisions a change is compared with, and what they hold."""

from __future__ import annotations

import io
import os
import re
import subprocess
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from _contract_report import CannotCheckError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

_RELEASE: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_DEEPEN: Final = (
    "fetch more of it: git fetch --unshallow --tags origin '+refs/heads/*:refs/remotes/origin/*'"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A revision that the working tree is compared with.

    Attributes:
        label: What a person calls it.
        revision: Its full hash.
    """

    label: str
    revision: str


@dataclass(slots=True, kw_only=True)
class Baselines:
    """What there is to compare with.

    Attributes:
        base: Where the change branched off; None where there is none yet, or none here.
        release: The last release, where there is one.
        missing: Why the base is not here although there must be one; empty when all is well.
        notes: What the reader must know.
    """

    base: Baseline | None = None
    release: Baseline | None = None
    missing: str = ""
    notes: list[str] = field(default_factory=list)

    def all(self) -> list[Baseline]:
        """List them without repeats."""
        found = [one for one in (self.base, self.release) if one is not None]
        return found[:1] if len({one.revision for one in found}) == 1 else found


class Repository:
    """The git repository around the project, read only."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        try:
            return subprocess.run(  # noqa: S603 - git itself
                ["git", "-C", str(self.root), *arguments],  # noqa: S607 - as the user has it
                capture_output=True,
                check=False,
                env=os.environ | {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"},
            )
        except FileNotFoundError as error:
            raise CannotCheckError(
                "git is not installed, so there is nothing to compare with"
            ) from error

    def _ask(self, *arguments: str) -> str | None:
        """Ask a question whose answer may be no."""
        done = self._run(*arguments)
        return None if done.returncode else done.stdout.decode(errors="replace").strip()

    def _must(self, *arguments: str) -> bytes:
        done = self._run(*arguments)
        if done.returncode:
            raise CannotCheckError(
                f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}"
            )
        return done.stdout

    def exists(self) -> bool:
        """Tell whether the project lies in a repository that git is willing to read."""
        done = self._run("rev-parse", "--git-dir")
        words = done.stderr.decode(errors="replace").strip()
        if done.returncode and "not a git repository" not in words:
            raise CannotCheckError(f"git: {words}")
        return done.returncode == 0

    def _commit(self, name: str) -> str | None:
        return self._ask(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"
        )

    def baselines(self, against: str | None) -> Baselines:
        """Find what to compare with; ``against`` names the base instead of the main branch."""
        if not self.exists():
            if against is not None:
                raise UsageError(f"--against {against}: this is no git repository")
            return Baselines(missing="this is no git repository")
        found = Baselines()
        head = self._commit("HEAD")
        shallow = self._ask("rev-parse", "--is-shallow-repository") == "true"
        if against is not None:
            commit = self._commit(against)
            if commit is None:
                hint = f"; this clone is shallow, {_DEEPEN}" if shallow else ""
                raise UsageError(f"--against {against}: no such commit here{hint}")
            found.base = Baseline(label=f"{against} ({commit[:10]})", revision=commit)
        elif head is None:
            found.notes.append("no commit yet: there is no base to compare with")
        else:
            self._find_base(head, found, shallow=shallow)
        found.release = self._last_release(head, shallow=shallow)
        if found.release is None:
            reason = "; a shallow clone may lack its tag" if shallow else ""
            found.notes.append(f"no release tag vX.Y.Z to compare with{reason}")
        return found

    def _find_base(self, head: str, found: Baselines, *, shallow: bool) -> None:
        target = os.environ.get("GITHUB_BASE_REF")
        names = [f"origin/{target}"] if target else ["origin/main", "main"]
        known = [
            name
            for name in names
            if self._commit(f"refs/remotes/{name}") or self._commit(f"refs/heads/{name}")
        ]
        for name in known:
            commit = self._ask("merge-base", head, name)
            if commit:
                found.base = Baseline(label=f"{name} ({commit[:10]})", revision=commit)
                return
        if shallow:
            found.missing = f"this clone is shallow and does not reach the base; {_DEEPEN}"
        elif known:
            found.missing = (
                f"HEAD and {known[0]} have no commit in common; name a base with --against"
            )
        elif self._ask("rev-list", "--count", "HEAD") == "1":
            found.notes.append("this is the first commit: there is no base to compare with")
        else:
            found.missing = f"there is no branch {' or '.join(names)}; name a base with --against"

    def _last_release(self, head: str | None, *, shallow: bool) -> Baseline | None:
        """Find the highest version among the tags before HEAD; a cut history cannot tell before."""
        merged = () if shallow or head is None else ("--merged", head)
        tags = (self._ask("tag", "--list", "v*", *merged) or "").split()
        releases = {tag: match.groups() for tag in tags if (match := _RELEASE.fullmatch(tag))}
        if not releases:
            return None
        tag = max(releases, key=lambda name: tuple(map(int, releases[name])))
        revision = self._commit(f"refs/tags/{tag}")
        return Baseline(label=f"release {tag}", revision=revision) if revision else None

    def export(self, revision: str, folder: str, target: Path) -> bool:
        """Write a folder as it was at a revision into ``target``; False if it had no proto file."""
        names = self._must("ls-tree", "-r", "--name-only", "-z", revision, "--", f"{folder}/")
        if not any(name.endswith(b".proto") for name in names.split(b"\0")):
            return False
        packed = self._must("archive", "--format=tar", revision, "--", folder)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(target, filter="data")
        return True

    def read(self, revision: str, path: str) -> str | None:
        """Read a file as it was at a revision; None if it had none."""
        done = self._run("show", f"{revision}:./{path}")
        return None if done.returncode else done.stdout.decode(errors="replace")

    def changed(self, revision: str, *folders: str, kinds: str = "ADMT") -> list[str]:
        """List the files that differ in the working tree: added, deleted, modified, retyped."""
        compare = (
            "diff",
            "--name-only",
            "--no-renames",
            "--relative",
            f"--diff-filter={kinds}",
            "-z",
        )
        names = self._must(*compare, revision, "--", *folders)
        if "A" in kinds:
            # What git does not know yet differs as well.
            names += self._must("ls-files", "--others", "--exclude-standard", "-z", "--", *folders)
        return sorted({name.decode(errors="replace") for name in names.split(b"\0") if name})
