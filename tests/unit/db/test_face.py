"""The one import of a service, ``cartsnitch_common.db``."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import cartsnitch_common.db

face: Any = cartsnitch_common.db  # of which type checkers see a part


def promised() -> set[str]:
    """The names that type checkers see."""
    tree = ast.parse(Path(str(face.__file__)).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {each.asname for node in imports for each in node.names if each.asname}


def test_what_type_checkers_see_is_what_there_is() -> None:
    """Each promised name can be had, and dir() lists no other one."""
    names = promised()
    assert "Database" in names
    assert all(getattr(face, name) is not None for name in names)
    assert names == {*face._MODULES, *face._PLACES}
    assert names <= set(dir(face))


def test_a_misspelled_name_is_an_attribute_error() -> None:
    """What is not there says so as of any module."""
    with pytest.raises(AttributeError, match="no attribute 'Databse'"):
        getattr(face, "Databse")  # noqa: B009 - type checkers would refuse it otherwise
