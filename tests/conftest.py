"""The published fixtures under the short names that this suite uses."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

if TYPE_CHECKING:
    from cartsnitch_common.config import Settings
    from cartsnitch_common.embedded import EmbeddedServers

pytest_plugins = ["cartsnitch_common.testing.plugin"]

hypothesis_settings.register_profile(
    "suite",
    deadline=None,  # the machines that run this are shared and noisy
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("suite")


PROGRAMS = {
    "pgbouncer": (
        "tests/integration/engine/test_pooler.py",
        "tests/integration/events/test_behind_pooler.py",
    ),
    "postgres": ("tests/migration/test_distribution.py",),
    "redis-server": ("tests/integration/redis/test_distribution.py",),
}
"""What some tests need that no wheel brings, and where they are."""

OLDEST_POSTGRES = 15


def find_program(name: str) -> str | None:
    """Where the distribution has a program; of several PostgreSQLs the oldest that will do."""
    versions = [(int(folder.name), folder) for folder in Path("/usr/lib/postgresql").glob("[1-9]*")]
    fit = [f"{folder}/bin" for version, folder in sorted(versions) if version >= OLDEST_POSTGRES]
    places = [os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", *fit]
    return shutil.which(name, path=os.pathsep.join(places))


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if find_program(name) is None]


collect_ignore = [
    str(Path(__file__).parents[1] / place)
    for name in missing_programs()
    for place in PROGRAMS[name]
]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not tested, in the last lines of the run."""
    for name in missing_programs():
        places = ", ".join(PROGRAMS[name])
        terminalreporter.line(f"NOT RUN: {places}, because {name} is not installed")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what needs servers by the fixtures it asks for, so that --fast can leave it out.

    And name each test's group where pytest-xdist looks for it: its version 3.8 writes it
    where pytest had the id of a test before version 9.2, and so keeps no group together.
    """
    for item in items:
        if any(name.startswith("cartsnitch_") for name in getattr(item, "fixturenames", ())):
            item.add_marker("servers")
        group = item.get_closest_marker("xdist_group")
        if group and config.getoption("loadgroup", default=False) and hasattr(item, "_id"):
            item._id = type(item._id).parse(f"{item.nodeid}@{group.args[0]}")


@pytest.fixture(scope="session")
def servers(cartsnitch_servers: EmbeddedServers) -> EmbeddedServers:
    return cartsnitch_servers


@pytest.fixture(scope="session")
def postgres_url(cartsnitch_servers: EmbeddedServers) -> str:
    return cartsnitch_servers.database_url


@pytest.fixture
def empty_database(cartsnitch_empty_database: str) -> str:
    return cartsnitch_empty_database


@pytest.fixture
def database(cartsnitch_database: str) -> str:
    return cartsnitch_database


@pytest.fixture
def redis_url(cartsnitch_redis: str) -> str:
    return cartsnitch_redis


@pytest.fixture
def settings(cartsnitch_settings: Settings) -> Settings:
    return cartsnitch_settings
