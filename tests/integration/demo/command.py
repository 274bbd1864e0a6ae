"""The demonstration's command, what it is given, and what it leaves in the servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import redis

from cartsnitch_common.config import Settings
from cartsnitch_common.contract import bindings

SAMPLES = Path(__file__).parents[3] / "src/cartsnitch_common/cli/demo/samples"
MEIJER = SAMPLES / "01-meijer-march.json"
TABLES = (
    "users",
    "purchases",
    "purchase_items",
    "price_history",
    "shrinkflation_events",
    "event_log",
)


@dataclass
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


type Demo = Callable[..., Done]


def without_settings() -> dict[str, str]:
    """The environment of a process that is told of no server."""
    return {k: v for k, v in os.environ.items() if not k.startswith("CARTSNITCH_")}


def demo_process(*arguments: str, **environment: str) -> Done:
    """The command in a process of its own, as a person starts it; embedded servers."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cartsnitch_common.cli", "demo", *arguments],
        env=without_settings() | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def counts(settings: Settings) -> dict[str, int]:
    """How many rows each table has; none before the schema is there."""
    with psycopg.connect(settings.require_database_url()) as connection:
        found = connection.execute("SELECT to_regclass('purchases')").fetchone()
        if found is None or found[0] is None:
            return dict.fromkeys(TABLES, 0)
        return {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index,arg-type]
            for table in TABLES
        }


def stream_lengths(settings: Settings) -> int:
    """How many events all the streams hold."""
    with redis.Redis.from_url(settings.require_redis_url()) as client:
        return sum(client.xlen("{" + b.channel + "}:stream") for b in bindings())


def changed(tmp_path: Path, path: list[Any], value: Any, *, base: Path = MEIJER) -> Path:
    """A file with a sample receipt of which one field has another value, or with ``...`` none."""
    receipt = json.loads(base.read_text())
    target = receipt
    for step in path[:-1]:
        target = target[step]
    if value is ...:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    file = tmp_path / "receipt.json"
    file.write_text(json.dumps(receipt))
    return file
