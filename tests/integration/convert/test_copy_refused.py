"""What is wrong with the messages of a COPY is said before any SQL runs, if it is seen early."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from cartsnitch.catalog.v1 import NormalizedProduct, Store
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.type.v1 import Money
from cartsnitch_common.constants import MAX_LENGTH
from cartsnitch_common.convert import copy_messages
from cartsnitch_common.convert.copying import _SLICE
from cartsnitch_common.db import models
from cartsnitch_common.errors import InvalidFieldError, UnmappableValueError
from cartsnitch_common.values.ids import new_uuid
from tests.integration.convert.conftest import Filled
from tests.integration.convert.test_copy import count, dollars, observations, purchase

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

LONGEST = MAX_LENGTH["NormalizedProduct.canonical_name"]


def product(name: str) -> NormalizedProduct:
    return NormalizedProduct(
        id=str(new_uuid()),
        canonical_name=name,
        create_time={"seconds": 1},
        update_time={"seconds": 1},
    )


@asynccontextmanager
async def nothing_asked(engine: AsyncEngine, session: AsyncSession) -> AsyncIterator[None]:
    """See that the server hears nothing of a session's transaction meanwhile, not even BEGIN."""
    pid = await session.scalar(text("SELECT pg_backend_pid()"))
    asked = text("SELECT query, query_start, state_change FROM pg_stat_activity WHERE pid = :pid")
    async with engine.connect() as observer:
        before = (await observer.execute(asked, {"pid": pid})).one()
        yield
        await observer.commit()  # a transaction sees the activity of its beginning
        assert (await observer.execute(asked, {"pid": pid})).one() == before


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"source": 77}, "source"),
        ({"source": 0}, "source"),
        ({"id": "x"}, "id"),
        ({"id": ""}, "id"),
        ({"store_id": "0190A5C4-0000-7000-8000-000000000000"}, "store_id"),
        ({"regular_price": None}, "regular_price"),
        ({"regular_price": Money(currency_code="EUR", units=1)}, "regular_price"),
        ({"sale_price": dollars(1, 10_000)}, "sale_price"),
        ({"sale_price": dollars(10**8)}, "sale_price"),
        ({"observed_date": {"year": 2026, "month": 2, "day": 30}}, "observed_date"),
    ],
)
async def test_bad_input_is_refused_before_any_sql(
    change: dict[str, Any], field: str, filled: Filled, engine: AsyncEngine, session: AsyncSession
) -> None:
    """Rules, unknown enum values, ids, digits: the same error as of a single message."""
    message = observations(filled, 1)[0]
    for name, value in change.items():
        message.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            message.MergeFrom(PriceObservation(**{name: value}))
    async with nothing_asked(engine, session):
        with pytest.raises(InvalidFieldError) as caught:
            await copy_messages(session, [message])
    assert caught.value.field == f"messages[0].{field}"


@pytest.mark.parametrize(
    ("name", "rule"),
    [("a\x00b", "text.no_nul"), ("a" * (LONGEST + 1), "string.max_len"), ("", "string.min_len")],
)
async def test_bad_text_is_refused_before_any_sql(
    name: str, rule: str, engine: AsyncEngine, session: AsyncSession
) -> None:
    """PostgreSQL has no NUL in text, and columns have an end; field and rule are named."""
    async with nothing_asked(engine, session):
        with pytest.raises(InvalidFieldError) as caught:
            await copy_messages(session, [product("Bread"), product(name)])
    assert (caught.value.field, caught.value.rule_id) == ("messages[1].canonical_name", rule)


async def test_a_bad_message_opens_no_connection(filled: Filled, engine: AsyncEngine) -> None:
    """Nor is a transaction begun for it."""
    opened: list[Any] = []
    event.listen(engine.sync_engine, "checkout", lambda *given: opened.append(given))
    message = observations(filled, 1)[0]
    message.source = 77  # type: ignore[assignment] # an open enum
    async with AsyncSession(engine) as session:
        with pytest.raises(InvalidFieldError):
            await copy_messages(session, [message])
        assert not opened
        message.source = 2  # type: ignore[assignment]
        assert await copy_messages(session, [message]) == 1
        assert opened


async def test_the_first_five_hundred_are_refused_before_any_sql(
    filled: Filled, engine: AsyncEngine, session: AsyncSession
) -> None:
    """Also of a generator; one that is wrong behind them leaves nothing of those before it."""
    before = await count(session)

    def given(bad: int) -> Iterator[PriceObservation]:
        for place, message in enumerate(observations(filled, 2 * _SLICE)):
            if place == bad:
                message.regular_price.nanos = 1
            yield message

    assert _SLICE == 500, "the docstring says so"
    async with nothing_asked(engine, session):
        with pytest.raises(InvalidFieldError, match=r"^messages\[499\]\.regular_price"):
            await copy_messages(session, given(499))
    with pytest.raises(InvalidFieldError, match=r"^messages\[500\]\.regular_price"):
        await copy_messages(session, given(500))
    assert await count(session) == before


async def test_a_bad_item_is_refused_before_any_sql(
    filled: Filled, engine: AsyncEngine, session: AsyncSession
) -> None:
    """What a purchase brings along is looked at together with it."""
    purchases = [purchase(filled, 2), purchase(filled, 2)]
    purchases[1].items[1].quantity.value = "1.2345"
    async with nothing_asked(engine, session):
        with pytest.raises(InvalidFieldError, match=r"^messages\[1\]\.items\[1\]\.quantity"):
            await copy_messages(session, purchases)
    purchases[1].items[1].quantity.value = "1"
    purchases[1].items[1].purchase_id = purchases[0].id
    async with nothing_asked(engine, session):
        with pytest.raises(UnmappableValueError, match=r"items\[1\]\.purchase_id"):
            await copy_messages(session, purchases)


async def test_a_bad_item_behind_them_leaves_no_purchase(
    filled: Filled, session: AsyncSession
) -> None:
    """The purchases were in their table already, and are taken back."""
    before = await count(session, models.Purchase)
    purchases = [purchase(filled, 1) for _ in range(_SLICE + 2)]
    purchases[-1].items[0].quantity.value = "1.2345"
    place = rf"^messages\[{_SLICE + 1}\]\.items\[0\]\.quantity"
    with pytest.raises(InvalidFieldError, match=place):
        await copy_messages(session, purchases)
    assert await count(session, models.Purchase) == before


async def test_another_type_is_refused_before_any_sql(
    filled: Filled, engine: AsyncEngine, session: AsyncSession
) -> None:
    """One call writes one table."""
    async with nothing_asked(engine, session):
        with pytest.raises(TypeError, match=r"messages\[1\] is no PriceObservation"):
            await copy_messages(session, [observations(filled, 1)[0], Store(id="x")])
