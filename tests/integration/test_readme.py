from __future__ import annotations

import asyncio
import datetime as dt
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cartsnitch.event.v1 import PricesUpdated
from cartsnitch_common.config import Settings
from cartsnitch_common.constants import PriceSource
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.seed import STORES, seed_stores
from cartsnitch_common.events import Consumer, async_redis
from cartsnitch_common.events.inbox import SqlInbox
from cartsnitch_common.events.relay import Relay
from cartsnitch_common.values.ids import new_uuid

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_readme_is_two_screens_with_the_commands_on_top() -> None:
    """A stranger sees the two commands first and is done in two screens."""
    lines = README.splitlines()
    assert len(lines) <= 100
    top = "\n".join(lines[:6])
    assert "./scripts/demo" in top
    assert "./scripts/test" in top


def test_ci_runs_the_readme_s_test_command() -> None:
    """What CI runs is what a contributor runs, after bringing programs that no wheel has."""
    commands = [
        line
        for line in (ROOT / ".ci/run").read_text().splitlines()
        if line and not line.startswith(("#", "set ", "cd "))
    ]
    assert commands == [".ci/install", "exec ./scripts/test"]


def test_every_path_the_readme_names_exists() -> None:
    """The map of the tree is true."""
    for name in re.findall(r"`((?:src|proto|alembic|docs|scripts)/[\w/.-]*)", README):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / name).exists(), name


async def test_the_example_works(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    """The README's code runs as it stands, from the row to the handler."""
    block = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert block is not None
    names: dict[str, Any] = {}
    exec(block[1], names)  # noqa: S102 - the point of the test

    engine, redis = async_engine(settings), async_redis(settings)
    sessions = async_sessions(engine)
    try:
        async with sessions.begin() as session:
            await session.run_sync(seed_stores)
            product = models.NormalizedProduct(canonical_name="Bananas")
            session.add(product)
            await session.flush()
            row = models.PriceHistory(
                id=new_uuid(),
                normalized_product_id=product.id,
                store_id=STORES[0].id,
                observed_date=dt.date(2026, 3, 10),
                regular_price=Decimal("0.65"),
                source=PriceSource.CATALOG,
            )
            await names["publish_price"](session, row)
        assert await Relay(settings).run_once() == 1

        stop = asyncio.Event()
        consumer = Consumer(redis, SqlInbox(sessions), group="stickershock")

        @consumer.on(PricesUpdated)
        async def handle(event: Any, session: Any) -> None:
            await names["on_prices"](event, session)
            stop.set()

        async with asyncio.timeout(20):
            await consumer.run(stop)
        printed = capsys.readouterr().out
        assert f"{product.id} 0.65" in printed
    finally:
        await redis.aclose()  # type: ignore[no-untyped-call]
        await engine.dispose()
