"""What stands beside a purchase that is recorded: it is refused by its name, before any SQL."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from sqlalchemy import select

from cartsnitch.event.v1 import MatchMethod, ProductsNormalized
from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.config import Settings
from cartsnitch_common.db import models
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.recording import Match
from tests.integration.queries.receipts import Sessions, events, record

NAMED = MatchMethod.MATCH_METHOD_NAME


async def refused(purchase: Purchase, **more: Any) -> InvalidFieldError:
    """The error of a purchase that no database is behind."""
    settings = Settings.load(database_url="postgresql://nobody@127.0.0.1:1/nothing")
    nowhere = async_engine(settings)
    with pytest.raises(InvalidFieldError) as found:
        await record(async_sessions(nowhere), purchase, **more)
    await nowhere.dispose()
    return found.value


def in_itself() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["again"] = [made]
    return made


def nested(levels: int) -> dict[str, Any]:
    made: Any = 1
    for _ in range(levels - 1):
        made = [made]
    return {"lines": made}


@pytest.mark.parametrize(
    "raw_data",
    [
        {"name": "a\0b"},
        {"a\0b": 1},
        {"lines": [{"name": "\\\0"}]},
        {"name": "\ud83d"},
        {"\udc00": "\u4e2d"},
        {"price": float("nan")},
        {"lines": [float("-inf")]},
        {"price": Decimal("1.10")},
        {"day": dt.date(2026, 3, 10)},
        {"lines": {1, 2}},
        {("a", "b"): 1},
        {"number": 10**5000},
        in_itself(),
        nested(1001),
        nested(15_000),
        nested(200_000),
        ["a", "list"],
        "text",
    ],
    ids=itertools.count(),
)
async def test_raw_data_that_no_column_of_json_takes_is_named(
    purchase: Purchase, raw_data: Any
) -> None:
    """No statement fails for it, which would have ended the caller's transaction."""
    error = await refused(purchase, raw_data=raw_data)
    assert error.field == "raw_data"


@pytest.mark.parametrize(
    "raw_data",
    [
        {},
        {"name": "\\u0000 and \\\\u0000", "more": "\\"},
        {"\u4e2d": '"\U0001f34c"', "none": None, "yes": [True, 1.5, -0.25, 10**40]},
        {"lines": [{"name": "[{"}] * 2000},
        nested(1000),
    ],
    ids=itertools.count(),
)
async def test_raw_data_is_kept_as_it_is(
    sessions: Sessions, purchase: Purchase, raw_data: dict[str, Any]
) -> None:
    """Whatever JSON says, any mapping of it, is read back."""
    await record(sessions, purchase, raw_data=MappingProxyType(raw_data))
    async with sessions() as session:
        assert await session.scalar(select(models.Purchase.raw_data)) == raw_data


@pytest.mark.parametrize(
    ("index", "match", "field"),
    [
        (3, Match(method=NAMED), "matches[3]"),
        (-1, Match(method=NAMED), "matches[-1]"),
        (1, Match(method=NAMED), "matches[1]"),  # a line of no product
        *(
            (2, Match(method=NAMED, confidence=confidence), "matches[2].confidence")
            for confidence in (
                *map(Decimal, ("NaN", "sNaN", "Infinity", "-0.0001", "1.0001", "0.00005", "1E-40")),
                *(Decimal(2) / 3, 0.5, 1.0, True, "1", None),
            )
        ),
        *(
            (2, Match(method=method), "matches[2].method")
            for method in (0, 99, -1, 1.5, "MATCH_METHOD_NAME", None)
        ),
    ],
)
async def test_a_match_that_fits_no_line_is_named(
    purchase: Purchase, index: int, match: Any, field: str
) -> None:
    """By the line's index, as it was given, and not by its place in an event."""
    assert (await refused(purchase, matches={index: match})).field == field


async def test_a_match_may_be_as_sure_as_it_likes(sessions: Sessions, purchase: Purchase) -> None:
    """From 0 to 1, in any spelling of the number."""
    purchase.items[1].normalized_product_id = purchase.items[0].normalized_product_id
    sure = (Decimal("0E-9"), Decimal("0.99990"), 1)
    matches = {index: Match(method=NAMED, confidence=one) for index, one in enumerate(sure)}  # type: ignore[arg-type]
    await record(sessions, purchase, matches=matches)
    (told,) = [
        payload for _, payload in await events(sessions) if isinstance(payload, ProductsNormalized)
    ]
    assert [match.confidence.value for match in told.matches] == ["0", "0.9999", "1"]
