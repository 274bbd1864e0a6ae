"""That the searches for products read an index, and little of it, among a million products."""

from __future__ import annotations

import decimal
import re
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import async_engine, async_sessions
from cartsnitch_common.db.queries.product_codes import (
    find_products_by_codes,
    select_products_by_code,
)
from cartsnitch_common.db.queries.product_names import select_products_by_name
from tests.integration.queries.products import plan_of

MILLION = 1_000_000
INDEXES = ("ix_normalized_products_upc_variants", "ix_product_names_tokens")

# The triggers rest: they would make words of a million texts.
FILL = f"""
SET session_replication_role = replica;
INSERT INTO normalized_products (id, canonical_name, upc_variants)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), 'p', jsonb_build_array(lpad(n::text, 12, '0'))
FROM generate_series(1, {MILLION}) n;
INSERT INTO product_names (normalized_product_id, tokens)
SELECT CAST(lpad(to_hex(n), 32, '0') AS uuid), array_to_tsvector(ARRAY[
  'brand' || n % 5003, 'kind' || n % 307, 'word' || n % 20011, 'for' || n % 3, n % 41 || 'oz'])
FROM generate_series(1, {MILLION}) n
"""


@pytest.fixture(scope="module")
def million(shared_database: str) -> str:
    """The URL of a database with a million narrow products."""
    with psycopg.connect(shared_database, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT pg_get_indexdef(to_regclass(name)) FROM unnest(%s::text[]) name",
            [list(INDEXES)],
        ).fetchall()
        connection.execute(f"DROP INDEX {', '.join(INDEXES)}")
        connection.execute(FILL)
        for (definition,) in indexes:
            connection.execute(definition)
        connection.execute("ANALYZE normalized_products, product_names")
    return shared_database


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def session(million: str, request: pytest.FixtureRequest) -> AsyncIterator[AsyncSession]:
    """A session whose statements are planned for their values, or once for all values."""
    engine = async_engine(Settings.load(database_url=million))
    async with async_sessions(engine)() as session:
        await session.execute(text(f"SET LOCAL plan_cache_mode = {request.param}"))
        yield session
    await engine.dispose()


async def scans(session: AsyncSession) -> dict[str, int]:
    """How often the words were read in whole, and by their index: no plan shows a function's."""
    rows = await session.execute(
        text(
            "SELECT name, pg_stat_get_xact_numscans(to_regclass(name))"
            " FROM unnest(ARRAY['product_names', 'ix_product_names_tokens']) name"
        )
    )
    return {name: count for name, count in rows}  # noqa: C416 - dict() takes no rows


def codes(*numbers: int) -> list[str]:
    return [str(n).zfill(12) for n in numbers]


async def test_a_code_is_found_by_its_index(session: AsyncSession) -> None:
    """One code and twenty read a few blocks of the index each, and only the products found."""
    (code,) = codes(654_321)
    plan = await plan_of(session, select_products_by_code(code))
    assert "Bitmap Index Scan on ix_normalized_products_upc_variants" in plan.text
    assert "Seq Scan" not in plan.text
    assert re.search(r"Bitmap Heap Scan on normalized_products .*rows=1\.?0* loops=1\)", plan.text)
    assert plan.blocks < 30
    twenty = codes(*range(1000, MILLION, 50_000))
    plan = await plan_of(session, select_products_by_code(*twenty))
    assert "Seq Scan" not in plan.text
    assert plan.blocks < 600
    assert len(await find_products_by_codes(session, twenty)) == 20


@pytest.mark.parametrize("limit", [1, 10])
async def test_a_name_is_found_by_its_index(session: AsyncSession, limit: int) -> None:
    """Only the products that share the rarest words are read, at both bounds."""
    n = 654_321
    whole = f"{n % 41} OZ brand{n % 5003} kind{n % 307} word{n % 20011} for{n % 3}"
    await session.execute(select_products_by_name("milk"))  # the function makes its plans
    for asked, score in ((whole, "1"), (whole.replace("word", "WORD NOT "), "0.5")):
        query = select_products_by_name(asked, limit=limit)
        before = await scans(session)
        plan = await plan_of(session, query)
        after = await scans(session)
        assert after["ix_product_names_tokens"] > before["ix_product_names_tokens"]
        assert after["product_names"] == before["product_names"]
        assert "Seq Scan on normalized_products" not in plan.text
        assert plan.blocks < 2000
        best = (await session.execute(query)).first()
        assert best is not None
        assert (best[0].id.int, best[1]) == (n, decimal.Decimal(score))
