"""The gates beside the comparison: versions, vectors, migrations, waivers, buf's settings."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from tests.contract.gates import Repo

THING = "proto/cartsnitch/small/v1/thing.proto"
FIELD = "  // The id.\n  string id = 1;\n"
VECTOR = "tests/golden/thing.binpb"
MIGRATION = "alembic/versions/0001_first.py"
WAIVERS = "scripts/contract-waivers.toml"
MESSAGE = 'Previously present field "1" with name "id" on message "Thing" was deleted.'
TODAY = dt.datetime.now(tz=dt.UTC).date()
SOON = TODAY + dt.timedelta(days=30)

type Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_BASE_REF"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "repo")
    made.commit("first")
    return made


def waiver(**changes: str) -> str:
    """One entry; each value is TOML."""
    entry = {
        "rule": '"FIELD_NO_DELETE"',
        "path": f'"{THING}"',
        "message": f"'{MESSAGE}'",
        "reason": '"nobody has ever read it"',
        "expires": str(SOON),
    } | changes
    return "[[waiver]]\n" + "".join(f"{name} = {text}\n" for name, text in entry.items() if text)


def remove_field(repo: Repo) -> None:
    """Break the contract, with a version and an entry."""
    repo.replace(THING, FIELD, "  reserved 1;\n")
    repo.release("0.2.0", "- proto: no id.\n")


# -- versions -------------------------------------------------------------------------------------


def test_a_changed_contract_needs_a_version_and_an_entry(repo: Repo, capsys: Said) -> None:
    """A new message file that git does not know yet already asks for both."""
    text = Repo.PROTO.replace("Thing", "Other")
    repo.write("proto/cartsnitch/small/v1/other.proto", text)
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert "error VERSION_NOT_RAISED  pyproject.toml:3" in said
    assert "proto changed: the version must rise above 0.1.0" in said
    assert "error CHANGELOG_ENTRY_MISSING  CHANGELOG.md" in said
    repo.release("0.2.0", "- events: something else.\n")
    assert repo.check() == 1
    assert "VERSION_NOT_RAISED" not in capsys.readouterr().out
    repo.release("0.2.0", "- proto: another thing,\n  for others.\n")
    assert repo.check() == 0


@pytest.mark.parametrize("version", ["0.0.9", "0.1.0", "1.0", "two"])
def test_a_version_rises(repo: Repo, version: str, capsys: Said) -> None:
    """A lower one, the same one and one of another form are refused."""
    repo.replace(THING, "// The id.", "// The identity.")
    repo.release(version, "- proto: words.\n")
    assert repo.check() == 1
    assert "error VERSION_" in capsys.readouterr().out


def test_versions_compare_as_numbers(repo: Repo) -> None:
    """0.10.0 is above 0.9.0."""
    repo.release("0.9.0", "- proto: everything.\n")
    repo.commit()
    repo.replace(THING, "// The id.", "// The identity.")
    repo.release("0.10.0", "- proto: words.\n")
    assert repo.check() == 0


def test_a_new_migration_needs_an_entry_of_its_area(repo: Repo, capsys: Said) -> None:
    """A migration is a change of the schema: its entry is of the area db."""
    repo.write("alembic/versions/0002_second.py", '"""second"""\n')
    repo.release("0.2.0", "- proto: a wrong area.\n")
    assert repo.check() == 1
    assert "db changed: its entry '- db: ...'" in capsys.readouterr().out
    repo.release("0.2.0", "- db: a table.\n")
    assert repo.check() == 0


def test_other_changes_need_no_version(repo: Repo) -> None:
    """Documentation and tests release nothing."""
    repo.write("README.md", "x")
    repo.write("tests/test_x.py", "x = 1\n")
    assert repo.check() == 0


def test_changes_share_a_version_that_is_not_released(repo: Repo, capsys: Said) -> None:
    """After a release the first change raises the version; each has an entry of its own."""
    repo.git("tag", "v0.1.0")
    repo.replace(THING, "// The id.", "// The identity.")
    repo.release("0.2.0", "- proto: words.\n")
    repo.commit()
    repo.replace(THING, "// The identity.", "// Which one it is.")
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert "CHANGELOG_ENTRY_MISSING" in said
    assert "VERSION_NOT_RAISED" not in said
    repo.release("0.2.0", "- proto: words.\n- proto: better words.\n")
    assert repo.check() == 0


# -- what is only added to ------------------------------------------------------------------------


def test_golden_vectors_are_only_added(repo: Repo, capsys: Said) -> None:
    """A vector that exists is neither changed nor removed nor renamed; a new one is welcome."""
    repo.write("tests/golden/new.binpb", "new")
    assert repo.check() == 0
    repo.write(VECTOR, "other")
    assert repo.check() == 1
    assert f"error GOLDEN_CHANGED  {VECTOR}" in capsys.readouterr().out
    repo.git("mv", "--force", VECTOR, "tests/golden/renamed.binpb")
    assert repo.check() == 1
    assert f"error GOLDEN_CHANGED  {VECTOR}" in capsys.readouterr().out


def test_a_vector_may_follow_a_loosened_rule(repo: Repo, capsys: Said) -> None:
    """Which rules a vector breaks may change; its bytes and its JSON form may not."""
    path = "tests/golden/cartsnitch.type.v1.Money/full.json"
    repo.write(path, '{"binary": "CgNVU0Q=", "json": {}, "breaks": ["units: int64.lte"]}')
    repo.commit()
    repo.write(path, '{"binary": "CgNVU0Q=", "json": {}, "breaks": []}')
    assert repo.check() == 0
    repo.write(path, '{"binary": "CgNVU0E=", "json": {}, "breaks": []}')
    assert repo.check() == 1
    assert f"error GOLDEN_CHANGED  {path}" in capsys.readouterr().out


def test_a_released_migration_never_changes(repo: Repo, capsys: Said) -> None:
    """Until its release it may; from then on it is history."""
    repo.write(MIGRATION, '"""mended"""\n')
    repo.release("0.2.0", "- db: mended.\n")
    assert repo.check() == 0
    repo.commit()
    repo.git("tag", "v0.2.0")
    repo.write(MIGRATION, '"""mended again"""\n')
    repo.release("0.3.0", "- db: mended again.\n")
    capsys.readouterr()
    assert repo.check() == 1
    assert f"error MIGRATION_CHANGED  {MIGRATION}" in capsys.readouterr().out


# -- waivers --------------------------------------------------------------------------------------


def test_an_intended_break_is_let_through(repo: Repo, capsys: Said) -> None:
    """A waiver takes out exactly the finding that it names, and the reason is printed."""
    remove_field(repo)
    assert repo.check() == 1
    repo.write(WAIVERS, waiver())
    capsys.readouterr()
    assert repo.check() == 0
    assert "nobody has ever read it" in capsys.readouterr().out
    repo.replace(THING, "message Thing {", "message Other {")
    assert repo.check() == 1
    assert "error PACKAGE_MESSAGE_NO_DELETE" in capsys.readouterr().out


def test_a_waiver_ends(repo: Repo, capsys: Said) -> None:
    """On its last day it holds; a day later it fails, and so does the break."""
    remove_field(repo)
    repo.write(WAIVERS, waiver(expires=str(TODAY)))
    assert repo.check() == 0
    repo.write(WAIVERS, waiver(expires=str(TODAY - dt.timedelta(days=1))))
    capsys.readouterr()
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert f"error WAIVER_EXPIRED  {WAIVERS}:1" in said
    assert "error FIELD_NO_DELETE" in said


def test_a_waiver_for_nothing_fails(repo: Repo, capsys: Said) -> None:
    """One that matches nothing hides a break of the future, so it may not wait for it."""
    repo.write(WAIVERS, waiver())
    assert repo.check() == 1
    assert f"error WAIVER_UNUSED  {WAIVERS}:1" in capsys.readouterr().out


def test_a_merged_waiver_may_stay_until_it_expires(repo: Repo, capsys: Said) -> None:
    """After the merge main has the break and the waiver, and is not red by that; then it ends."""
    remove_field(repo)
    repo.write(WAIVERS, waiver())
    repo.commit()
    assert repo.check() == 0
    assert "notice WAIVER_DONE" in capsys.readouterr().out
    repo.write(WAIVERS, waiver(expires=str(TODAY - dt.timedelta(days=1))))
    repo.commit()
    assert repo.check() == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (waiver(reason=""), "reason is missing"),
        (waiver(reason='"because"'), "a reason has 4 words"),
        (waiver(expires=""), "expires is missing"),
        (waiver(expires='"2026-12-31"'), "expires is missing or no date"),
        (waiver(expires=str(TODAY + dt.timedelta(days=400))), "more than a year"),
        (waiver(message=""), "message is missing"),
        (waiver(unless="1"), "unknown name 'unless'"),
        ("waiver = 1\n", "write each as a table"),
        ("[waiver]\nrule = 'x'\n", "write each as a table"),
        ("ignore = true\n", "unknown name 'ignore'"),
        ("[[waiver", "not TOML"),
    ],
)
def test_a_waiver_says_what_why_and_until_when(repo: Repo, text: str, says: str, capsys: Said):
    """One that does not is refused, and lets nothing through."""
    remove_field(repo)
    repo.write(WAIVERS, text)
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert "WAIVER_INVALID" in said
    assert says in said
    assert "FIELD_NO_DELETE" in said


def test_a_fault_of_the_tree_itself_cannot_be_waived(repo: Repo, capsys: Said) -> None:
    """Style, versions and buf's settings are mended, not waived."""
    repo.replace(THING, "  string id", "   string id")
    repo.release("0.2.0", "- proto: x.\n")
    text = waiver(rule='"FORMAT"', message='"differs from buf\'s format; run buf format -w proto"')
    repo.write(WAIVERS, text)
    assert repo.check() == 1
    assert "error FORMAT" in capsys.readouterr().out


# -- buf's settings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("disallow_comment_ignores: true", "disallow_comment_ignores: false"),
        ("    - PACKAGE\n", "    - WIRE_JSON\n"),
        ("    - COMMENTS\n", ""),
        ("    - COMMENTS\n", "    - COMMENTS\n  except:\n    - COMMENT_FIELD\n"),
        ("    - COMMENTS\n", "    - COMMENTS\n  except: [COMMENT_FIELD]\n"),
        ("    - PACKAGE\n", "    - PACKAGE\n  ignore:\n  - proto/cartsnitch/small\n"),
        ("    - PACKAGE\n", "    - PACKAGE\n  ignore_unstable_packages: true\n"),
    ],
)
def test_buf_cannot_be_switched_off_without_a_reason(
    repo: Repo, old: str, new: str, capsys: Said
) -> None:
    """An exception in buf.yaml that says nothing, or a weaker set of rules, is a finding."""
    repo.replace("buf.yaml", old, new)
    assert repo.check() == 1
    assert "error BUF_CONFIG  buf.yaml:" in capsys.readouterr().out


def test_a_reason_allows_an_exception_of_style_only(repo: Repo, capsys: Said) -> None:
    """A reason beside it makes a lint exception good; no setting there lets a break through."""
    exception = "  ignore:\n    - proto/cartsnitch/small # It is being moved.\n"
    repo.replace("buf.yaml", "    - PACKAGE\n", f"    - PACKAGE\n{exception}")
    assert repo.check() == 0
    remove_field(repo)
    assert repo.check() == 1
    assert "error FIELD_NO_DELETE" in capsys.readouterr().out


def test_style_and_compilation_are_findings_with_a_place(repo: Repo, capsys: Said) -> None:
    """What does not compile, has no comment or another format leads to its file."""
    repo.replace(THING, "  // The id.\n  string", "   string")
    assert repo.check() == 1
    said = capsys.readouterr().out
    assert f"error COMMENT_FIELD  {THING}:7" in said
    assert f"error FORMAT  {THING}:" in said
    repo.replace(THING, "string id = 1;", "string id = ;")
    assert repo.check() == 1
    assert f"error COMPILE  {THING}:7" in capsys.readouterr().out


def test_a_missing_import_is_not_a_verdict(repo: Repo, capsys: Said) -> None:
    """Without validate.proto nothing can be compiled: exit code 3, with what to do."""
    (repo.root / "third_party/protovalidate/buf/validate/validate.proto").unlink()
    assert repo.check() == 3
    assert "run ./scripts/fetch-protos" in capsys.readouterr().err
