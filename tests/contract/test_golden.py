from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from cartsnitch_common.contract import check, from_json_value, to_json
from cartsnitch_common.errors import InvalidFieldError

ROOT = Path(__file__).parents[2]
FOLDERS = sorted((ROOT / "tests/golden").iterdir())
MONEY = "cartsnitch.type.v1.Money"


@pytest.fixture(scope="module")
def golden() -> Iterator[ModuleType]:
    """The program that writes the vectors, as a module."""
    sys.path.insert(0, str(ROOT / "scripts"))
    yield importlib.import_module("_golden")
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def vectors(golden: ModuleType) -> dict[str, dict[str, Any]]:
    """All vectors, a copy that a test may change."""
    return golden.read_vectors(ROOT / "tests/golden")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the vectors of one message and one commit."""
    root = tmp_path / "clone"
    shutil.copytree(ROOT / "tests/golden" / MONEY, root / "tests/golden" / MONEY)
    git(root, "init", "--quiet", "--initial-branch", "main")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@t.example", "-c", "commit.gpgsign=false")
    done = subprocess.run(
        ["git", "-C", str(root), *who, *arguments],
        check=True,
        capture_output=True,
        text=True,
        # Inside a hook, these would lead to the repository that the hook is of.
        env={name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    )
    return done.stdout.strip()


def commit(root: Path) -> str:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "m", "--no-verify")
    return git(root, "rev-parse", "HEAD")


def test_every_message_has_every_vector(golden: ModuleType, vectors: Any) -> None:
    """No message, no case and no field of the contract is without a vector."""
    assert golden.missing_names(vectors) == []
    assert len(vectors) > 50


def test_no_vector_of_the_base_has_changed_or_gone(golden: ModuleType, vectors: Any) -> None:
    """What was once promised byte for byte stays, from where this branch left the main one."""
    base = golden.base_revision(ROOT)
    old = golden.vectors_at(ROOT, base) if base else {}
    assert golden.differences(old, vectors) == []


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in FOLDERS])
def test_python_agrees_with_the_vectors(golden: ModuleType, vectors: Any, path: Path) -> None:
    """Each vector decodes, encodes to its bytes again, and has its JSON form and broken rules."""
    kind = golden.class_of(path.name)
    for name, vector in vectors[path.name].items():
        data = golden.bytes_of(vector)
        message = kind.FromString(data)
        assert message.SerializeToString(deterministic=True) == data, name
        assert json.loads(to_json(message)) == vector["json"], name
        assert golden.broken_rules(message) == vector["breaks"], name
        if vector["breaks"]:
            with pytest.raises(InvalidFieldError) as caught:
                check(message)
            place = f"{caught.value.field}: " if caught.value.field else ""
            assert f"{place}{caught.value.rule_id}" in vector["breaks"], name
        else:
            check(message)


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in FOLDERS])
def test_the_json_form_reads_back(golden: ModuleType, vectors: Any, path: Path) -> None:
    """The JSON of every vector that may be sent becomes the same message again."""
    kind = golden.class_of(path.name)
    for name in golden.VALID:
        vector = vectors[path.name][name]
        assert from_json_value(kind, vector["json"]) == kind.FromString(golden.bytes_of(vector))


def test_the_usual_and_the_extreme_are_valid(vectors: Any) -> None:
    """No rule refuses the full, the largest and the lowest message, or an unknown field."""
    for cases in vectors.values():
        for name in ("full", "extreme", "lowest", "unknown_field"):
            assert cases[name]["breaks"] == []


def test_every_rule_in_cel_is_broken_by_a_vector(golden: ModuleType, vectors: Any) -> None:
    """Another language cannot leave a rule out unnoticed."""
    cases = golden.contract_cases()
    for message, of_message in vectors.items():
        broken = {rule.rpartition(": ")[2] for one in of_message.values() for rule in one["breaks"]}
        assert cases.rule_ids(message) <= broken, message


def test_every_payload_of_the_envelope_has_a_vector(vectors: Any) -> None:
    """Each case of the oneof is there, and so are none and one of a later version."""
    cases = vectors["cartsnitch.event.v1.Envelope"]
    payloads = {name.removeprefix("payload_") for name in cases if name.startswith("payload_")}
    assert len(payloads - {"unset", "unknown"}) == 6
    assert {"unset", "unknown"} < payloads


def test_a_written_vector_is_never_rewritten(
    golden: ModuleType, vectors: Any, tmp_path: Path
) -> None:
    """The generator adds what is missing and leaves everything else as it stands."""
    vectors[MONEY]["full"]["json"] = "as somebody wrote it"
    del vectors[MONEY]["lowest"]
    del vectors["cartsnitch.type.v1.Date"]
    new = golden.write_missing(tmp_path, vectors)
    assert f"{MONEY}/lowest" in new
    assert f"{MONEY}/full" not in new
    assert "cartsnitch.type.v1.Date/full" in new
    assert golden.names(golden.read_vectors(tmp_path)) == set(new)
    assert golden.write_missing(tmp_path, golden.read_vectors(ROOT / "tests/golden")) == []


def test_the_generator_is_deterministic(golden: ModuleType, tmp_path: Path) -> None:
    """The same contract makes the same vectors, whoever makes them and when."""
    made = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        golden.contract_cases.cache_clear()
        golden.write_missing(folder, {})
        made.append({path.relative_to(folder): path.read_bytes() for path in folder.glob("*/*")})
    assert made[0] == made[1]
    assert len(made[0]) > 400


def test_a_younger_field_gets_a_vector_of_its_own(golden: ModuleType, vectors: Any) -> None:
    """A field that no vector of its message sets is found, and the old vectors stay."""
    for vector in vectors[MONEY].values():
        vector.update(golden.vector_of(MONEY, b"\x10\x03"))  # units alone, as before nanos
    assert golden.missing_names(vectors) == [f"{MONEY}/with_currency_code", f"{MONEY}/with_nanos"]


def test_a_younger_rule_gets_a_vector_of_its_own(golden: ModuleType, vectors: Any) -> None:
    """A rule in CEL that no vector of its message breaks is found, and the old vectors stay."""
    item = "cartsnitch.purchase.v1.PurchaseItem"
    for vector in vectors[item].values():
        vector["breaks"] = [one for one in vector["breaks"] if "quantity" not in one]
    (case, data), *more = golden._younger(golden.contract_cases(), item, vectors[item])
    assert not more
    broken = golden.vector_of(item, data)["breaks"]
    assert [f"breaks_{one.partition(': ')[2]}" for one in broken] == [case]


def test_the_judgement_follows_the_rules(golden: ModuleType, vectors: Any, tmp_path: Path) -> None:
    """Broken rules can be recorded anew, which leaves the bytes and the JSON of a vector."""
    kept = {**vectors[MONEY]["full"]}
    vectors[MONEY]["full"]["breaks"] = ["units: of.an.old.rule"]
    golden.renew_rules(tmp_path, vectors)
    assert golden.read_vectors(tmp_path) == {MONEY: {"full": kept}}


def test_only_what_is_named_is_renewed(golden: ModuleType, vectors: Any) -> None:
    """A pattern takes away one case, one message or all, and nothing beside it."""
    kept = golden.without(vectors, f"{MONEY}/full")
    assert kept[MONEY] == {k: v for k, v in vectors[MONEY].items() if k != "full"}
    assert kept.keys() == vectors.keys()
    assert vectors.keys() - golden.without(vectors, MONEY).keys() == {MONEY}
    assert golden.without(vectors, "*") == {}
    assert golden.without(vectors, "cartsnitch.type.v1.Nothing") == vectors


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"full": None}, ["full is gone"]),
        ({"full": {"binary": ""}}, ["its binary form changed"]),
        ({"full": {"json": {}}}, ["its json form changed"]),
        ({"full": None, "empty": {"json": {"units": "1"}}}, ["full is gone", "its json form"]),
        ({"empty": {"breaks": []}}, []),
        ({"new": {"binary": "", "json": {}, "breaks": []}}, []),
    ],
)
def test_a_change_against_the_base_is_named(
    golden: ModuleType, repository: Path, change: dict[str, Any], said: list[str]
) -> None:
    """Gone and changed are findings; a new vector and other rules are none."""
    base = golden.vectors_at(repository, golden.base_revision(repository))
    now = golden.read_vectors(repository / "tests/golden")
    assert list(base) == [MONEY]
    for case, new in change.items():
        if new is None:
            del now[MONEY][case]
        else:
            now[MONEY][case] = {**now[MONEY].get(case, {}), **new}
    found = golden.differences(base, now)
    assert len(found) == len(said)
    for words in said:
        assert any(line.startswith(MONEY) and words in line for line in found)


def test_the_base_is_where_the_branch_left(golden: ModuleType, repository: Path) -> None:
    """A vector that was changed and committed on a branch is still compared with main's."""
    left = git(repository, "rev-parse", "HEAD")
    git(repository, "checkout", "--quiet", "-b", "feature/x")
    shutil.rmtree(repository / "tests")
    (repository / "other").touch()
    commit(repository)
    assert golden.base_revision(repository) == left
    found = golden.differences(golden.vectors_at(repository, left), {})
    assert len(found) > 5


def test_without_a_base_everything_is_new(
    golden: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No git, no repository, no commit and no folder in the base are no errors."""
    assert golden.base_revision(tmp_path) is None
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    assert golden.base_revision(tmp_path) is None
    (tmp_path / "file").touch()
    commit(tmp_path)
    base = golden.base_revision(tmp_path)
    assert golden.vectors_at(tmp_path, base) == {}
    with pytest.raises(SystemExit, match="error: git ls-tree failed"):
        golden.vectors_at(tmp_path, "no-such-revision")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert golden.base_revision(tmp_path) is None


def test_a_shallow_clone_has_a_base(golden: ModuleType, repository: Path, tmp_path: Path) -> None:
    """With one commit and no main branch, as on a build machine, the commit is the base."""
    (repository / "more").touch()
    commit(repository)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth", "1", repository.as_uri(), str(shallow))
    git(shallow, "checkout", "--quiet", "--detach")
    git(shallow, "branch", "--quiet", "-D", "main")
    git(shallow, "remote", "remove", "origin")
    assert golden.base_revision(shallow) == "HEAD"
    assert list(golden.vectors_at(shallow, "HEAD")) == [MONEY]
