from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.db.queries.sizes import list_sizes, select_size_history
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.values.size_changes import Verdict, judge_size_change
from tests.integration.queries.products import number, plan_of, statements
from tests.rows import Rows


def buy(rows: Rows, day: int, *names: str, **values: object) -> None:
    """Record a receipt with lines of these names, in their order."""
    purchase = rows.add(
        "purchases",
        receipt_id=f"r-{rows.count('purchases')}",
        purchase_date=dt.date(2026, 3, day),
        **({"store_id": values.pop("store_id")} if "store_id" in values else {}),
    )
    for name in names:
        rows.add(
            "purchase_items",
            id=number(rows.count("purchase_items")),
            purchase_id=purchase,
            product_name_raw=name,
            normalized_product_id=rows.the("normalized_products"),
            **values,
        )


async def test_sizes_come_in_event_time(rows: Rows, session: AsyncSession) -> None:
    """A receipt read late adds to its day; lines without a size are passed over."""
    buy(rows, 20, "CEREAL 15.4OZ", regular_price="4.79")
    buy(rows, 5, "CEREAL", "CEREAL 18 OZ", "CEREAL 18OZ", unit_price="4.79")
    buy(rows, 10, "7UP CEREAL", "CEREAL 12PK 1.2 OZ")
    found = await list_sizes(session, rows.the("normalized_products"))
    assert [(one.observed_date.day, one.size, one.unit, str(one.shelf_price)) for one in found] == [
        (5, "18", "oz", "4.7900"),
        (5, "18", "oz", "4.7900"),
        (10, "12 x 1.2", "oz", "1.0000"),
        (20, "15.4", "oz", "4.7900"),
    ]
    assert {one.store_id for one in found} == {rows.the("stores")}
    first, last = found[0], found[-1]
    judged = judge_size_change(
        (first.size, first.unit),
        (last.size, last.unit),
        old_price=first.shelf_price,
        new_price=last.shelf_price,
    )
    assert judged.verdict is Verdict.SHRINKFLATION


async def test_a_size_without_a_digit_is_among_them(rows: Rows, session: AsyncSession) -> None:
    """A half that is one character is a number to the server as well."""
    buy(rows, 1, "MILK GAL", "MILK \u00bd GAL")
    (found,) = await list_sizes(session, rows.the("normalized_products"))
    assert (found.size, found.unit) == ("1/2", "gal")


async def test_what_was_weighed_at_the_till_is_passed_over(
    rows: Rows, session: AsyncSession
) -> None:
    """A quantity that is no number of pieces makes the printed weight no package's."""
    buy(rows, 1, "GRAPES 2 LB", quantity="2.31")
    buy(rows, 2, "GRAPES 2 LB", quantity="2")
    buy(rows, 3, "GRAPES 2 LB", quantity="1")
    found = await list_sizes(session, rows.the("normalized_products"))
    assert [one.observed_date.day for one in found] == [3]


async def test_sizes_of_one_store_and_some_days(rows: Rows, session: AsyncSession) -> None:
    """Both bounds are inclusive; another store's and another product's lines are not among them."""
    kroger = rows.add("stores", name="Kroger", slug="kroger")
    for day in (1, 2, 3, 4):
        buy(rows, day, f"CEREAL {day}OZ")
    buy(rows, 2, "CEREAL 99OZ", store_id=kroger)
    product, store = rows.the("normalized_products"), rows.the("stores")
    found = await list_sizes(
        session, product, store_id=store, since=dt.date(2026, 3, 2), until=dt.date(2026, 3, 3)
    )
    assert [one.size for one in found] == ["2", "3"]
    assert await list_sizes(session, number(999)) == []


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_of_sizes_hold_each_line_once(
    rows: Rows, session: AsyncSession, limit: int
) -> None:
    """A page is full unless it is the last, however many lines without a size lie between."""
    for day in (3, 1, 2):
        buy(rows, day, *[f"CEREAL {n}OZ" if n % 4 == 1 else f"CEREAL NO {n}" for n in range(12)])
    product = rows.the("normalized_products")
    seen, after = [], None
    while True:
        page = await list_sizes(session, product, after=after, limit=limit)
        seen += [(one.observed_date.day, one.size) for one in page]
        if len(page) < limit:
            break
        after = page[-1].position
    assert seen == [(day, size) for day in (1, 2, 3) for size in ("1", "5", "9")]
    with pytest.raises(InvalidFieldError, match="limit"):
        await list_sizes(session, product, limit=0)


async def test_lines_without_a_size_cost_no_statement_each(
    rows: Rows, session: AsyncSession
) -> None:
    """A page of one size behind a thousand lines that print none takes two statements."""
    buy(rows, 1, "CEREAL NO 1")
    rows.connection.execute(
        "INSERT INTO purchase_items (purchase_id, product_name_raw, quantity, unit_price,"
        " extended_price, normalized_product_id) SELECT purchase_id, 'CEREAL NO ' || n, 1, 1, 1,"
        " normalized_product_id FROM purchase_items, generate_series(2, 1000) n"
    )
    buy(rows, 2, "CEREAL 18OZ", "CEREAL 15OZ")
    with statements(session) as sent:
        (found,) = await list_sizes(session, rows.the("normalized_products"), limit=1)
    assert found.size == "18"
    assert len(sent) == 2


async def test_sizes_of_a_product_are_found_by_an_index(rows: Rows, session: AsyncSession) -> None:
    """Neither all receipt lines nor all purchases are read for one product."""
    buy(rows, 1, "CEREAL 18OZ")
    rows.connection.execute(
        "INSERT INTO purchases (user_id, store_id, receipt_id, purchase_date, total)"
        " SELECT user_id, store_id, n::text, purchase_date, total"
        " FROM purchases, generate_series(1, 3000) n"
    )
    rows.connection.execute(
        "INSERT INTO purchase_items (purchase_id, product_name_raw, quantity, unit_price,"
        " extended_price) SELECT id, 'X 1OZ', 1, 1, 1 FROM purchases"
    )
    rows.connection.execute("ANALYZE purchases; ANALYZE purchase_items")
    plan = await plan_of(session, select_size_history(rows.the("normalized_products"), limit=50))
    assert "ix_purchase_items_normalized_product_id" in plan.text
    assert "Seq Scan" not in plan.text
    assert plan.blocks < 20
