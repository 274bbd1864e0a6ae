from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.convert import fetch_messages, to_message
from cartsnitch_common.db.queries.purchases import purchases_of, select_purchases
from tests.rows import Rows

FIRST = dt.date(2026, 3, 1)


@pytest.fixture
def purchases(rows: Rows) -> list[Any]:
    """Twelve purchases on five days, recorded in another order, and one of somebody else."""
    made = []
    for number in range(12):
        day = FIRST + dt.timedelta(days=number * 7 % 5)
        purchase = rows.add("purchases", receipt_id=f"r-{number}", purchase_date=day)
        for line in range(number % 4):
            rows.add("purchase_items", purchase_id=purchase, product_name_raw=f"line {line}")
        made.append((day, purchase, number % 4))
    other = rows.add("users", email="other@parent.example")
    rows.add("purchases", user_id=other, receipt_id="theirs", purchase_date=FIRST)
    return sorted(made, reverse=True)


@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_pages_of_purchases_are_the_users_purchases(
    rows: Rows, purchases: list[Any], session: AsyncSession, limit: int
) -> None:
    """Newest first, each once, nobody else's, with their items."""
    found: list[Any] = []
    after = None
    while page := await purchases_of(session, rows.the("users"), after=after, limit=limit):
        found += page
        after = (page[-1].purchase_date, page[-1].id)
    assert [(row.purchase_date, row.id, len(row.items)) for row in found] == purchases


async def test_purchases_keep_to_their_days(
    rows: Rows, purchases: list[Any], session: AsyncSession
) -> None:
    """Both bounds belong to the days; without the option no items are loaded."""
    since, until = FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=3)
    query = select_purchases(rows.the("users"), since=since, until=until)
    found = list(await session.scalars(query))
    assert [row.id for row in found] == [
        purchase for day, purchase, _ in purchases if since <= day <= until
    ]
    messages = await fetch_messages(session, query)
    assert messages == [to_message(row) for row in found]
    assert not any(message.items for message in messages)
    assert await purchases_of(session, "nobody") == []
