from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = sorted(
    path
    for path in (ROOT / "src/cartsnitch_common").rglob("*.py")
    if "pydantic" not in path.parts  # generated
)
WRITTEN = [path for path in OURS if path.name != "constants.py"]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
LONGEST = 320


def named(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(ROOT))) for path in paths]


def exceptions() -> Iterator[ast.ClassDef]:
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
                yield node


def test_every_exception_explains_itself_in_lower_case() -> None:
    """The first line of each error's docstring is a sentence that may follow a colon."""
    found = list(exceptions())
    assert len(found) > 10
    for node in found:
        first = (ast.get_docstring(node) or "").partition("\n")[0]
        assert first, node.name
        assert first[0].islower(), node.name
        assert first.endswith("."), node.name


def test_every_raised_message_starts_in_lower_case() -> None:
    """A message stands behind a file, a setting or a field: it starts no sentence."""
    seen = 0
    for path in OURS:
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            for argument in node.exc.args[:2]:
                match argument:
                    case ast.Constant(value=str(text)):
                        pass
                    case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
                        pass
                    case _:
                        continue
                seen += 1
                word = text.split(" ")[0]
                is_name = word.isupper() or word in {"NaN", "NUMERIC"} or word.startswith("CARTS")
                assert is_name or not text[:1].isupper(), f"{path.name}: {text!r}"
    assert seen > 20


@pytest.mark.parametrize("path", named(WRITTEN))
def test_no_module_grows_beyond_one_reading(path: Path) -> None:
    """No hand-written module has much more than 300 lines."""
    assert len(path.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("path", named(TESTS))
def test_every_test_states_its_promise(path: Path) -> None:
    """Each test's docstring is the sentence that it holds."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
            "test_"
        ):
            assert ast.get_docstring(node), f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", named([*OURS, *TESTS]))
def test_no_exception_is_swallowed(path: Path) -> None:
    """No bare except, no `except Exception` that ends in pass."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None
            broad = isinstance(node.type, ast.Name) and node.type.id in {
                "Exception",
                "BaseException",
            }
            silent = all(isinstance(line, ast.Pass) for line in node.body)
            assert not (broad and silent), f"{path.name}:{node.lineno}"


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    """Green means run: the suite has no skip and no xfail."""
    for path in TESTS:
        text = path.read_text()
        assert not re.search(r"pytest\.(skip|xfail|importorskip)|mark\.(skip|xfail)", text) or (
            path == Path(__file__)
        ), path.name


def test_no_file_names_a_registry_or_a_home() -> None:
    """Nothing that is committed names a package registry's host or a developer's machine."""
    words = ["python" + "hosted", "pypi." + "org", "npm" + "js", "/ro" + "ot/", "/ho" + "me/"]
    for folder in ("src", "tests", "scripts", "proto", "alembic", "docs", ".github", ".ci"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                text = path.read_text(errors="replace")
                assert not [word for word in words if word in text], path
