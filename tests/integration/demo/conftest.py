from __future__ import annotations

import pytest

from cartsnitch_common.cli import run
from cartsnitch_common.config import Settings
from tests.integration.demo.command import Demo, Done


@pytest.fixture
def demo(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Demo:
    """The command, in this process: only its servers are others."""

    def run_here(*arguments: str, settings: Settings | None = None, **environment: str) -> Done:
        for name, value in _environment(settings, environment).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        code = run(["demo", *arguments])
        return Done(code, *capsys.readouterr())

    return run_here


def _environment(settings: Settings | None, further: dict[str, str]) -> dict[str, str]:
    if settings is None:
        return further
    return {
        "CARTSNITCH_DATABASE_URL": settings.require_database_url(),
        "CARTSNITCH_REDIS_URL": settings.require_redis_url(),
    } | further
