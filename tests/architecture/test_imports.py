from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "sqlalchemy",
    "redis",
    "grpc",
    "pydantic",
    "alembic",
    "asyncpg",
    "psycopg",
    "protovalidate",
    "typer",
    "rich",
    "prometheus_client",
}


def loaded_by(statement: str) -> set[str]:
    """The third-party packages that a fresh interpreter loads for a statement."""
    program = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)} & HEAVY


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import cartsnitch_common", set()),
        ("import cartsnitch_common.errors", set()),
        ("import cartsnitch_common.constants", set()),
        ("import cartsnitch.event.v1", set()),
        ("from cartsnitch.purchase.v1 import Purchase", set()),
        ("import cartsnitch_common.contract", set()),
        ("import cartsnitch_common.embedded", set()),
        ("import cartsnitch_common.config", {"pydantic"}),
        ("import cartsnitch_common.db", set()),
        ("from cartsnitch_common.db import models", {"sqlalchemy"}),
        ("from cartsnitch_common.db import Database, Settings", {"sqlalchemy", "pydantic"}),
        ("import cartsnitch_common.db.models", {"sqlalchemy"}),
        ("import cartsnitch_common.events", {"redis", "pydantic"}),
        ("import cartsnitch_common.rpc", {"grpc", "pydantic"}),
    ],
)
def test_an_import_is_light(statement: str, allowed: set[str]) -> None:
    """What a service imports loads no more than it needs."""
    assert loaded_by(statement) <= allowed


def test_nothing_happens_at_import() -> None:
    """Importing everything reads no setting and opens no file, socket or log."""
    program = """
import sys, os
opened = []
def watch(event, args):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen"):
        opened.append((event, args))
sys.addaudithook(watch)
os.environ["CARTSNITCH_DATABASE_URL"] = "nonsense that any reader would refuse"
os.environ["CARTSNITCH_REDIS_URL"] = "nonsense"
import importlib, pkgutil, cartsnitch_common
for module in pkgutil.walk_packages(cartsnitch_common.__path__, "cartsnitch_common."):
    importlib.import_module(module.name)
assert not opened, opened
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_a_message_survives_pickling() -> None:
    """Stubs are where their classes say, so that a process pool can carry messages."""
    program = """
import pickle
from cartsnitch.purchase.v1 import Purchase
message = Purchase(receipt_id="r")
assert pickle.loads(pickle.dumps(message)) == message
"""
    subprocess.run([sys.executable, "-c", program], check=True)
