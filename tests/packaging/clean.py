"""The clean environments of scripts/, for tests."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

SCRIPTS = str(Path(__file__).parents[2] / "scripts")


def program(name: str) -> ModuleType:
    """A program of scripts/ as a module."""
    sys.path.insert(0, SCRIPTS)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(SCRIPTS)


def uv_environment() -> dict[str, str]:
    """The environment of a uv that uses the registry that pip uses, if pip is told one."""
    environment: dict[str, str] = program("_clean").uv_environment()
    return environment
