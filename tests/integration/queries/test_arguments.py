"""An argument that no query can be asked with is named, before any SQL."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.db.queries.coupons import active_coupons
from cartsnitch_common.db.queries.increases import price_increases
from cartsnitch_common.db.queries.prices import (
    current_prices,
    latest_price,
    latest_prices,
    price_history,
)
from cartsnitch_common.db.queries.product_names import select_products_by_name
from cartsnitch_common.db.queries.purchases import purchases_of
from cartsnitch_common.db.queries.sizes import list_sizes
from cartsnitch_common.errors import InvalidFieldError

ID = uuid.UUID(int=7)
DAY = dt.date(2026, 3, 11)


async def names_after(session: AsyncSession, id_: Any) -> Any:
    query = select_products_by_name("milk", after=(decimal.Decimal("0.5"), id_))
    return (await session.execute(query)).all()


ASKED: dict[str, tuple[str, Any]] = {
    "latest price, product": ("product_id", lambda s, bad: latest_price(s, bad, ID)),
    "latest price, store": ("store_id", lambda s, bad: latest_price(s, ID, bad)),
    "latest prices, product": ("product_ids[1]", lambda s, bad: latest_prices(s, [ID, bad])),
    "latest prices, store": ("store_id", lambda s, bad: latest_prices(s, [ID], store_id=bad)),
    "current prices, store": ("store_id", current_prices),
    "current prices, after": ("after", lambda s, bad: current_prices(s, ID, after=bad)),
    "history, product": ("product_id", price_history),
    "history, store": ("store_id", lambda s, bad: price_history(s, ID, store_id=bad)),
    "history, after": ("after", lambda s, bad: price_history(s, ID, after=(DAY, bad))),
    "coupons, store": ("store_id", lambda s, bad: active_coupons(s, DAY, store_id=bad)),
    "coupons, product": ("product_id", lambda s, bad: active_coupons(s, DAY, product_id=bad)),
    "coupons, after": ("after", lambda s, bad: active_coupons(s, DAY, after=bad)),
    "increases, store": ("store_id", lambda s, bad: price_increases(s, DAY, store_id=bad)),
    "increases, product": ("product_id", lambda s, bad: price_increases(s, DAY, product_id=bad)),
    "increases, after": ("after", lambda s, bad: price_increases(s, DAY, after=(DAY, bad))),
    "sizes, product": ("product_id", list_sizes),
    "sizes, store": ("store_id", lambda s, bad: list_sizes(s, ID, store_id=bad)),
    "sizes, after": ("after", lambda s, bad: list_sizes(s, ID, after=(DAY, bad))),
    "purchases, after": ("after", lambda s, bad: purchases_of(s, "user", after=(DAY, bad))),
    "names, after": ("after", names_after),
}


@pytest.mark.parametrize("bad", ["no id", "", 7, "\0"])
@pytest.mark.parametrize("name", ASKED)
async def test_an_id_that_is_none_is_named(name: str, bad: Any, session: AsyncSession) -> None:
    """By the argument, and by its place where there are several."""
    field, ask = ASKED[name]
    with pytest.raises(InvalidFieldError) as refused:
        await ask(session, bad)
    assert refused.value.field == field


@pytest.mark.parametrize("name", ASKED)
async def test_the_text_of_an_id_will_do(name: str, session: AsyncSession) -> None:
    """As the messages carry it; the driver takes it as well."""
    _, ask = ASKED[name]
    assert not await ask(session, str(ID))


@pytest.mark.parametrize("bad", ["user\0", "user\ud83d", 7])
async def test_a_user_that_no_text_names_is_named(bad: Any, session: AsyncSession) -> None:
    """It is an argument's fault and not the database's."""
    with pytest.raises(InvalidFieldError) as refused:
        await purchases_of(session, bad)
    assert refused.value.field == "user_id"
