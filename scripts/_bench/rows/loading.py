"""Many rows out of the database as messages, and many messages into it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import select, text

from _bench.comparison import Comparison, Direction, Sides
from _bench.databases import open_driver, open_session
from _bench.dataset import vacuum
from _bench.models_by_hand import Price
from _bench.samples import Samples
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.convert import copy_messages, fetch_messages, to_message
from cartsnitch_common.convert.binary import SIGNATURE, TRAILER
from cartsnitch_common.convert.price import PRICE_OBSERVATION
from cartsnitch_common.db import models

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from _bench.world import World
    from cartsnitch_common.config import Settings

_MANY: Final = 100_000
_TABLE: Final = "price_history"
_BY_HAND: Final = """
    SELECT id::text, normalized_product_id::text, store_id::text,
           extract(year FROM observed_date)::int, extract(month FROM observed_date)::int,
           extract(day FROM observed_date)::int,
           (regular_price * 10000)::bigint, (sale_price * 10000)::bigint,
           (loyalty_price * 10000)::bigint, (coupon_price * 10000)::bigint,
           source, purchase_item_id::text
      FROM price_history"""
_SOURCES: Final = {"receipt": 1, "catalog": 2, "weekly_ad": 3}


async def _database(world: World) -> AsyncIterator[tuple[Settings, list[PriceObservation]]]:
    """A database with the parents of the prices, and the prices as messages."""
    settings = await world.settings("loading")
    samples = Samples()
    rows = [samples.price() for _ in range(world.size(_MANY))]
    async with open_session(settings) as session:
        await _add_parents(session, samples, rows)
        await session.commit()
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        vacuum(connection, "stores", "normalized_products", "purchases", "purchase_items")
    yield settings, [to_message(row) for row in rows]


async def _add_parents(
    session: AsyncSession, samples: Samples, rows: list[models.PriceHistory]
) -> None:
    slugs = ("meijer", "kroger", "target")
    for key, slug in zip(samples.stores, slugs, strict=True):
        session.add(models.Store(id=key, name=slug, slug=slug))
    session.add_all(
        models.NormalizedProduct(id=key, canonical_name=f"Product {number}")
        for number, key in enumerate(samples.products)
    )
    user = models.User(email="ada@parent.example")
    purchase = samples.purchase(0)
    purchase.user_id = user.id = "01990000-0000-7000-8000-000000000001"
    purchase.store_location_id = None
    session.add(user)
    await session.flush()
    session.add(purchase)
    await session.flush()
    items = [samples.item(purchase.id) for _ in range(len(rows))]
    for row, item in zip(rows, items, strict=True):
        if row.purchase_item_id is not None:
            item.id = row.purchase_item_id
    await copy_messages(session, [to_message(item) for item in items])


async def _empty(session: AsyncSession) -> None:
    await session.rollback()
    await session.execute(text("TRUNCATE price_history, current_prices"))
    await session.commit()


async def _reading(world: World) -> AsyncIterator[Sides]:
    settings, messages = await world.get("loading", _database)
    async with open_session(settings) as session, open_driver(settings) as driver:
        await _empty(session)
        await copy_messages(session, messages)
        await session.commit()
        await session.execute(text("ANALYZE price_history"))

        async def ours() -> list[PriceObservation]:
            return await fetch_messages(session, select(models.PriceHistory))

        async def rival() -> list[PriceObservation]:
            return [_by_hand(record) for record in await driver.fetch(_BY_HAND)]

        yield Sides(ours=ours, rival=rival, units=len(messages))


def _by_hand(record: Any) -> PriceObservation:
    (key, product, store, year, month, day, regular, sale, loyalty, coupon, source, item) = record
    message = PriceObservation()
    message.id = key
    message.normalized_product_id = product
    message.store_id = store
    date = message.observed_date
    date.year, date.month, date.day = year, month, day
    # A price is never negative: the table says so.
    money = message.regular_price
    money.currency_code = "USD"
    units, rest = divmod(regular, 10_000)
    money.units, money.nanos = units, rest * 100_000
    if sale is not None:
        money = message.sale_price
        money.currency_code = "USD"
        units, rest = divmod(sale, 10_000)
        money.units, money.nanos = units, rest * 100_000
    if loyalty is not None:
        money = message.loyalty_price
        money.currency_code = "USD"
        units, rest = divmod(loyalty, 10_000)
        money.units, money.nanos = units, rest * 100_000
    if coupon is not None:
        money = message.coupon_price
        money.currency_code = "USD"
        units, rest = divmod(coupon, 10_000)
        money.units, money.nanos = units, rest * 100_000
    message.source = _SOURCES[source]  # type: ignore[assignment] # an open enum is a number
    if item is not None:
        message.purchase_item_id = item
    return message


async def _reading_orm(world: World) -> AsyncIterator[Sides]:
    async for sides in _reading(world):
        settings, messages = await world.get("loading", _database)
        async with open_session(settings) as session:

            async def rival() -> list[str]:
                rows = await session.scalars(select(models.PriceHistory))
                made = [Price.model_validate(row).model_dump_json() for row in rows]
                session.expunge_all()
                return made

            yield Sides(ours=sides.ours, rival=rival, units=len(messages))


async def _writing(world: World) -> AsyncIterator[Sides]:
    settings, messages = await world.get("loading", _database)
    stream = b"".join(
        [SIGNATURE, *(PRICE_OBSERVATION.copy_row(message) for message in messages), TRAILER]
    )
    columns = [pair.column for pair in PRICE_OBSERVATION.pairs]
    async with open_session(settings) as session, open_driver(settings) as driver:

        async def ours() -> None:
            await copy_messages(session, messages)
            await session.commit()

        async def rival() -> None:
            async with driver.transaction():
                await driver.copy_to_table(
                    _TABLE, source=io.BytesIO(stream), columns=columns, format="binary"
                )

        await _empty(session)
        yield Sides(ours=ours, rival=rival, units=len(messages), after=lambda: _empty(session))


async def _writing_orm(world: World) -> AsyncIterator[Sides]:
    settings, messages = await world.get("loading", _database)
    models_given = [
        Price.model_validate(PRICE_OBSERVATION.from_message(message)) for message in messages
    ]
    async with open_session(settings) as session:

        async def ours() -> None:
            await copy_messages(session, messages)
            await session.commit()

        async def rival() -> None:
            session.add_all(models.PriceHistory(**one.model_dump()) for one in models_given)
            await session.commit()
            session.expunge_all()

        await _empty(session)
        yield Sides(ours=ours, rival=rival, units=len(messages), after=lambda: _empty(session))


def _row(
    name: str, rival: str, goal: float, direction: Direction, prepare: Any, note: str = ""
) -> Comparison:
    return Comparison(
        name=name, rival=rival, goal=goal, direction=direction, prepare=prepare, rounds=5, note=note
    )


_OUT: Final = "100,000 prices to a list of messages"
_IN: Final = "100,000 prices into the table"

ROWS = (
    _row(
        _OUT,
        "asyncpg and a loop by hand over a message-ready projection",
        1.2,
        Direction.AT_MOST,
        _reading,
    ),
    _row(_OUT, "ORM rows + Pydantic + JSON", 3, Direction.TIMES_AS_FAST, _reading_orm),
    _row(
        _IN,
        "a ready stream of binary COPY",
        1.4,
        Direction.AT_MOST,
        _writing,
        "both with the table's keys, indexes, three foreign keys and the trigger of current prices",
    ),
    _row(_IN, "ORM add_all from Pydantic", 6, Direction.TIMES_AS_FAST, _writing_orm),
)
