"""What scripts/check-contract compares with, and what it says when it cannot."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.contract.gates import ROOT, Repo, report

THING = "proto/cartsnitch/small/v1/thing.proto"
FIELD = "  // The id.\n  string id = 1;\n"
MORE = "  // The name.\n  optional string name = 2;\n"
ENTRY = "- proto: a name.\n"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_BASE_REF"):
        monkeypatch.delenv(name, raising=False)
    # Nothing here may need a network: whoever tries finds nobody.
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "repo")
    made.commit("first")
    return made


def extend(repo: Repo) -> None:
    """Add a field, with its version and entry."""
    repo.replace(THING, FIELD, FIELD + "\n" + MORE)
    repo.release("0.2.0", ENTRY)


def test_an_unchanged_tree_is_kept(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a change every gate says ok, and the base is named."""
    assert repo.check() == 0
    said = capsys.readouterr().out
    for gate in ("buf.yaml", "compile", "lint", "format", "breaking", "semantic", "golden"):
        assert re.search(rf"^{gate} +ok$", said, re.MULTILINE), said
    assert "compared with main" in said
    assert "the contract is kept" in said


def test_a_dirty_tree_is_what_is_checked(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    """A break that nobody has committed yet is found, at its line."""
    repo.replace(THING, FIELD, "")
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert f"error FIELD_NO_DELETE  {THING}:6" in said


def test_a_branch_is_compared_with_where_it_left(repo: Repo) -> None:
    """What main has gained since is not taken for something that the branch removes."""
    repo.git("switch", "--quiet", "--create", "feature/x")
    repo.write("README.md", "x")
    repo.commit()
    repo.git("switch", "--quiet", "main")
    extend(repo)
    repo.commit()
    repo.git("switch", "--quiet", "feature/x")
    assert repo.check() == 0
    assert repo.check("--against", "main") == 1


def test_a_committed_break_of_a_branch_is_found(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    """The base is where main was left, not the commit before."""
    repo.git("switch", "--quiet", "--create", "feature/x")
    repo.replace(THING, "string id", "bytes id")
    repo.commit()
    repo.write("README.md", "x")
    repo.commit()
    assert repo.check() == 1
    assert "error FIELD_SAME_TYPE" in capsys.readouterr().out


def test_an_unknown_revision_is_wrong_use(repo: Repo, capsys: pytest.CaptureFixture[str]) -> None:
    """It is an error of the caller, without a traceback and without a verdict."""
    assert repo.check("--against", "nonsense") == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: --against nonsense: no such commit")
    assert "kept" not in said.out


def test_the_last_release_is_compared_as_well(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    """A break that has slipped into main is found against the release that people use."""
    repo.git("tag", "v0.1.0")
    repo.git("tag", "v0.0.9")
    repo.git("tag", "v9-not-a-release")
    repo.replace(THING, "string id", "bytes id")
    repo.release("0.2.0", "- proto: bytes.\n")
    repo.commit()
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert "compared with release v0.1.0" in said
    assert "FIELD_SAME_TYPE" in said


def test_a_release_of_another_branch_is_not_compared_with(
    repo: Repo, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fix of an old version owes nothing to what later ones have added."""
    repo.git("switch", "--quiet", "--create", "next")
    extend(repo)
    repo.commit()
    repo.git("tag", "v0.2.0")
    repo.git("switch", "--quiet", "main")
    assert repo.check() == 0
    assert "no release tag" in capsys.readouterr().out


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_first_commit_has_nothing_to_break(
    tmp_path: Path, ci: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before and right after the first commit there is no base, and that is no fault."""
    monkeypatch.setenv("CI", ci)
    repo = Repo(tmp_path / "repo")
    assert repo.check() == 0
    assert "no commit yet" in capsys.readouterr().out
    repo.commit()
    repo.git("branch", "--move", "trunk")
    assert repo.check() == 0
    assert "this is the first commit" in capsys.readouterr().out


def test_a_base_without_protos_breaks_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where buf fails because the base has no protos, nothing can break: that is no fault."""
    repo = Repo(tmp_path / "repo", protos=False)
    repo.commit()
    repo.write(THING, Repo.PROTO)
    repo.release("0.2.0", "- proto: the first.\n")
    assert repo.check() == 0
    assert "has no proto" in capsys.readouterr().out


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 3)])
def test_a_shallow_clone_says_that_it_cannot_see_the_base(
    repo: Repo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    code: int,
) -> None:
    """Here it checks the rest and says so; in CI a gate that did not look is no green."""
    monkeypatch.setenv("CI", ci)
    repo.git("switch", "--quiet", "--create", "feature/x")
    extend(repo)
    repo.commit()
    clone = shallow(repo, tmp_path / "clone")
    assert clone.check() == code
    said = capsys.readouterr()
    assert "NOT compared with any base: this clone is shallow" in said.out
    assert "git fetch --unshallow" in said.out
    assert ("CI is true" in said.err) == bool(code)
    assert clone.check("--against", "main") == 2
    assert "this clone is shallow" in capsys.readouterr().err
    clone.git("fetch", "--quiet", "--unshallow", "origin", "+refs/heads/*:refs/remotes/origin/*")
    assert clone.check() == 0
    assert "compared with origin/main" in capsys.readouterr().out


def test_a_shallow_clone_still_finds_what_it_can(repo: Repo, tmp_path: Path) -> None:
    """Style needs no base: a finding there fails a shallow clone too."""
    repo.git("switch", "--quiet", "--create", "feature/x")
    repo.replace(THING, "  string id", "   string id")
    repo.commit()
    assert shallow(repo, tmp_path / "clone").check() == 1


def shallow(repo: Repo, folder: Path) -> Repo:
    """Clone one commit of the branch at hand, as CI does."""
    repo.git("clone", "--quiet", "--depth", "1", f"file://{repo.root}", str(folder))
    clone = object.__new__(Repo)
    clone.root = folder
    (folder / "third_party").symlink_to(repo.root / "third_party")
    return clone


def test_without_a_repository_only_style_is_checked(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unpacked archive has no base: a note for a person, an error in CI."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (repo.root / ".git").rename(tmp_path / "elsewhere")
    assert repo.check() == 0
    assert "this is no git repository" in capsys.readouterr().out
    monkeypatch.setenv("CI", "true")
    assert repo.check() == 3


def test_the_target_of_a_pull_request_is_its_base(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a pull request into another branch than main, that branch is compared with."""
    repo.git("update-ref", "refs/remotes/origin/v1-fixes", "HEAD")
    monkeypatch.setenv("GITHUB_BASE_REF", "v1-fixes")
    assert repo.check() == 0
    assert "compared with origin/v1-fixes" in capsys.readouterr().out


def test_findings_are_annotations_in_a_pull_request(
    repo: Repo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """GitHub shows each finding beside the line that it is about."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    repo.replace(THING, "string id", "bytes id")
    assert repo.check() == 1
    said = capsys.readouterr().out.splitlines()
    found = [line for line in said if line.startswith("::error ")]
    assert f"::error file={THING},line=8,title=FIELD_SAME_TYPE::" in "\n".join(found)
    assert any("file=pyproject.toml,line=3,title=VERSION_NOT_RAISED::" in line for line in found)


def test_an_annotation_keeps_to_one_line() -> None:
    """Line breaks and separators are escaped, so that a message cannot forge a command."""
    made = report.Finding(rule="A", message="50%\n::error::x", path="a:b,c", line=3)
    assert made.annotation() == ("::error file=a%3Ab%2Cc,line=3,title=A::50%25%0A::error::x")


def test_the_workflow_runs_the_same_commands() -> None:
    """A pull request gets both commands, and the history that the gates need."""
    text = (ROOT / ".github/workflows/pull-request.yml").read_text()
    assert "  pull_request:" in text
    assert "- run: ./scripts/check-contract" in text
    assert "- run: ./scripts/test" in text
    contract = text.partition("  contract:")[2].partition("  test:")[0]
    assert "fetch-depth: 0" in contract


def test_the_command_explains_itself() -> None:
    """The script in the tree starts; --help names the exit codes, wrong use is a 2."""
    for arguments, code in ((["--help"], 0), (["--agains"], 2), (["nonsense"], 2)):
        done = subprocess.run(
            [ROOT / "scripts/check-contract", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert code or "Exit codes: 0 kept" in done.stdout
