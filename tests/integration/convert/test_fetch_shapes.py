"""Whatever a SELECT is made of, its messages are those of the ORM's rows, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    column,
    desc,
    event,
    func,
    literal_column,
    select,
    text,
    union,
    update,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import (
    aliased,
    contains_eager,
    defer,
    joinedload,
    lazyload,
    load_only,
    raiseload,
    selectinload,
    subqueryload,
    with_loader_criteria,
)

from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.convert import fetch_messages, stream_messages, to_message
from cartsnitch_common.db import models
from cartsnitch_common.db.models import PriceHistory, Store
from cartsnitch_common.db.queries.purchases import with_items

pytestmark = pytest.mark.xdist_group("filled")  # one filled database for all of them

type Shape = tuple[Any, Any]

COLUMNS = len(PriceHistory.__table__.columns)


def heads() -> dict[str, Shape]:
    """What stands before ORDER BY, and the entity that it selects."""
    other, third = aliased(PriceHistory), aliased(PriceHistory, name="priced")
    of_table = select(PriceHistory).where(PriceHistory.regular_price > 0)
    within = aliased(PriceHistory, of_table.subquery())
    common = aliased(PriceHistory, of_table.cte("positive"))
    either = union(
        of_table.where(PriceHistory.source == "receipt"),
        of_table.where(PriceHistory.source == "catalog"),
    )
    united = aliased(PriceHistory, either.subquery())
    written = text("SELECT * FROM price_history").columns(*PriceHistory.__table__.columns)
    raw = aliased(PriceHistory, written.subquery())
    at_store = Store.id == PriceHistory.store_id
    return {
        "table": (select(PriceHistory), PriceHistory),
        "where": (select(PriceHistory).where(text("regular_price > 7")), PriceHistory),
        "alias": (select(other), other),
        "named alias": (select(third), third),
        "subquery": (select(within), within),
        "cte": (select(common), common),
        "union": (select(united), united),
        "text": (select(raw), raw),
        "join": (select(PriceHistory).join(Store, at_store), PriceHistory),
        "join from": (select(PriceHistory).join_from(Store, PriceHistory, at_store), PriceHistory),
        "self join": (select(PriceHistory).join(third, third.id == PriceHistory.id), PriceHistory),
        "other way round": (
            select(Store).join(PriceHistory, at_store).with_only_columns(PriceHistory),
            PriceHistory,
        ),
        "criteria": (
            select(PriceHistory).options(
                with_loader_criteria(PriceHistory, PriceHistory.regular_price > 50)
            ),
            PriceHistory,
        ),
    }


TAILS: dict[str, Callable[[Any, Any], Any]] = {
    "a column": lambda one, of: one.order_by(of.regular_price.desc(), of.id),
    "an expression": lambda one, of: one.order_by(-of.regular_price, of.id),
    "text": lambda one, of: one.order_by(text("regular_price DESC"), of.id),
    "texts": lambda one, of: one.order_by(text("observed_date, sale_price DESC NULLS LAST"), of.id),
    "a name": lambda one, of: one.order_by("regular_price", of.id),
    "a descending name": lambda one, of: one.order_by(desc("regular_price").nulls_last(), of.id),
    "a literal column": lambda one, of: one.order_by(literal_column("regular_price"), of.id),
    "a free column": lambda one, of: one.order_by(column("regular_price").desc(), of.id),
    "a number": lambda one, of: one.order_by(text("5 DESC"), of.id),
    "a literal number": lambda one, of: one.order_by(literal_column("5"), of.id),
    "a label": lambda one, of: one.order_by(of.sale_price.label("regular_price"), of.id),
    "distinct": lambda one, of: one.distinct().order_by(of.regular_price, of.id),
    "distinct and text": lambda one, of: one.distinct().order_by(text("regular_price"), of.id),
    "distinct on": lambda one, of: one.ext(distinct_on(text("regular_price"))).order_by(
        text("regular_price"), of.id
    ),
    "a prefix": lambda one, of: one.prefix_with("DISTINCT").order_by(of.regular_price, of.id),
    "groups": lambda one, of: (
        one.group_by(text(", ".join(str(place + 1) for place in range(COLUMNS))))
        .having(of.regular_price > 3)
        .order_by(of.regular_price, of.id)
    ),
}


async def same(session: AsyncSession, statement: Any) -> list[Any]:
    """The messages of the ORM's rows, after it was seen that every way reads the same."""
    expected = [to_message(row) for row in (await session.scalars(statement)).all()]
    for way in ("executed", "directly"):
        assert await fetch_messages(session, statement) == expected, way
    assert await fetch_messages(await session.connection(), statement) == expected
    assert [one async for one in stream_messages(session, statement, batch_size=17)] == expected
    return expected


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("head", heads())
async def test_the_messages_are_those_of_the_rows(
    head: str, tail: str, session: AsyncSession
) -> None:
    """A name, a number or a text in a statement means what it means to the ORM."""
    statement, entity = heads()[head]
    # As text they are in another order: 9.5 is more than 10.
    prices = statement.where(entity.regular_price.between(9, 1000))
    page = TAILS[tail](prices, entity).limit(40)
    assert len(await same(session, page)) == 40


async def test_what_stands_behind_a_statement_means_its_columns(session: AsyncSession) -> None:
    """A suffix is text, too."""
    prices = select(PriceHistory).where(PriceHistory.regular_price.between(9, 1000))
    assert len(await same(session, prices.suffix_with("ORDER BY regular_price, 1 LIMIT 40"))) == 40


@pytest.mark.parametrize("place", [1, 2, 4, 5, 6])
async def test_a_number_counts_the_columns_of_the_orm(place: int, session: AsyncSession) -> None:
    """Also those that are private: a user's hashed password is the third."""
    users = select(models.User).order_by(text(f"{place} DESC, 1")).limit(40)
    assert len(await same(session, users)) == 40


async def test_rows_are_locked_in_their_order(session: AsyncSession) -> None:
    """FOR UPDATE stands where the statement has it."""
    locking = select(PriceHistory).order_by(text("regular_price"), PriceHistory.id).limit(3)
    assert len(await same(session, locking.with_for_update())) == 3
    locked = "SELECT count(*) FROM price_history WHERE xmax = pg_current_xact_id()::xid"
    assert await session.scalar(text(locked)) == 3


async def test_purchases_of_any_order_bring_their_items(session: AsyncSession) -> None:
    """The items are those of their purchase, whatever orders the purchases."""
    purchases = select(models.Purchase).distinct().order_by(text("total DESC, id")).limit(40)
    bare = await same(session, purchases)
    found = await fetch_messages(session, purchases, with_items=True)
    assert sum(len(one.items) for one in found) > 0
    assert {item.purchase_id for one in found for item in one.items} <= {one.id for one in bare}
    for one in found:
        assert {item.purchase_id for item in one.items} <= {one.id}
    assert [Purchase(id=one.id) for one in found] == [Purchase(id=one.id) for one in bare]


LOADED: dict[str, Callable[[Any], Any]] = {
    "load_only": lambda one: one.options(load_only(models.Purchase.total)),
    "defer": lambda one: one.options(defer(models.Purchase.total)),
    "selectinload": with_items,
    "subqueryload": lambda one: one.options(subqueryload(models.Purchase.items)),
    "joinedload": lambda one: one.options(joinedload(models.Purchase.items)),
    "contains_eager": lambda one: one.options(contains_eager(models.Purchase.items)),
    "of items": lambda one: one.options(
        selectinload(models.Purchase.items).load_only(models.PurchaseItem.upc)
    ),
    "lazyload": lambda one: one.options(lazyload("*")),
    "raiseload": lambda one: one.options(raiseload(models.Purchase.items)),
    "with criteria": lambda one: one.options(
        selectinload(models.Purchase.items),
        with_loader_criteria(models.Purchase, models.Purchase.total > 5),
    ),
}
ORDERED: dict[str, Callable[[Any], Any]] = {
    "a column": lambda one: one.order_by(models.Purchase.total, models.Purchase.id),
    "text": lambda one: one.order_by(text("total"), models.Purchase.id),
    "a number": lambda one: one.order_by(text("7, 1")),
    "distinct": lambda one: (
        one.join(models.Purchase.items)
        .distinct()
        .order_by(models.Purchase.total, models.Purchase.id)
    ),
}


@pytest.mark.parametrize("order", ORDERED)
@pytest.mark.parametrize("loaded", LOADED)
async def test_what_a_statement_says_of_loading_is_not_followed(
    loaded: str, order: str, session: AsyncSession
) -> None:
    """The messages are those of a statement that says nothing of it."""
    bare = ORDERED[order](select(models.Purchase)).limit(40)
    if loaded == "with criteria":
        bare = bare.options(with_loader_criteria(models.Purchase, models.Purchase.total > 5))
    expected = await same(session, bare)
    assert len(expected) == 40
    asked = LOADED[loaded](ORDERED[order](select(models.Purchase))).limit(40)
    for way in ("executed", "directly"):
        assert await fetch_messages(session, asked) == expected, way
    assert [one async for one in stream_messages(session, asked, batch_size=17)] == expected
    carrying = await fetch_messages(session, bare, with_items=True)
    assert await fetch_messages(session, asked, with_items=True) == carrying


async def test_a_statement_of_text_order_keeps_its_options(session: AsyncSession) -> None:
    """What a caller says of executing a statement holds for what is made of it."""
    seen: list[Any] = []
    connection = (await session.connection()).sync_connection

    @event.listens_for(connection, "before_cursor_execute")
    def note(*given: Any) -> None:
        seen.append(given[4].execution_options.get("mine"))

    statement = select(Store).order_by(text("name")).execution_options(mine="kept")
    assert len(await fetch_messages(session, statement)) == 3
    assert seen == ["kept"]


@pytest.mark.parametrize(
    "statement",
    [
        union(select(Store), select(Store)),
        select(Store).from_statement(text("SELECT * FROM stores")),
        select(Store).from_statement(union(select(Store), select(Store))),
        text("SELECT * FROM stores"),
        update(Store).values(name="x").returning(Store),
        select(Store).add_columns(func.now()),
    ],
    ids=["union", "from text", "from union", "text", "update", "one column more"],
)
async def test_what_is_no_select_of_an_entity_is_refused(
    statement: Any, session: AsyncSession
) -> None:
    """The error says what is wanted."""
    for read in (fetch_messages, lambda *given: anext(stream_messages(*given))):
        with pytest.raises(TypeError, match=r"must be a select\(\) of one entity"):
            await read(session, statement)
