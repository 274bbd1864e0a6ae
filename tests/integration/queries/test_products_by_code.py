from __future__ import annotations

from typing import Any

import psycopg
import pytest
from biip.checksums import gs1_standard_check_digit
from sqlalchemy.ext.asyncio import AsyncSession

from cartsnitch_common.convert import fetch_messages
from cartsnitch_common.db.models import NormalizedProduct
from cartsnitch_common.db.queries.product_codes import (
    find_product_by_code,
    find_products_by_codes,
    select_products_by_code,
)
from cartsnitch_common.db.queries.product_names import select_products_by_name
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.values.gtin import parse_code
from tests.integration.queries.products import add_product, number, statements
from tests.rows import Rows

CODES = ("036000291452", "042100005264", "96385074", "10036000291459", "4011", "94011")


@pytest.fixture
def connection(rows: Rows) -> psycopg.Connection[Any]:
    return rows.connection


async def test_a_product_is_found_by_every_spelling_of_its_code(
    connection: psycopg.Connection[Any], session: AsyncSession
) -> None:
    """Whichever spelling is stored and whichever is asked for, it is found, and no other."""
    stored = {}
    for code in CODES:
        for spelling in parse_code(code).spellings:
            stored[spelling] = (
                code,
                add_product(connection, len(stored) + 1, upc_variants=[spelling]),
            )
    for spelling, (code, _) in stored.items():
        expected = {product for asked, product in stored.values() if asked == code}
        rows = await session.scalars(select_products_by_code(spelling))
        assert {row.id for row in rows} == expected, spelling
        found = await find_product_by_code(session, spelling)
        assert found is not None
        assert found.id == min(expected)


async def test_a_plu_code_finds_no_gtin(
    connection: psycopg.Connection[Any], session: AsyncSession
) -> None:
    """The same digits as a PLU code and as a code of eight digits are two products."""
    bananas = add_product(connection, 1, upc_variants=["4011"])
    other = add_product(connection, 2, upc_variants=["00004011"])
    store_own = add_product(connection, 3, upc_variants=["000000012344"])
    for code, product in {
        "4011": bananas,
        "0000000004011": bananas,
        "00004011": other,
        "000000012344": store_own,
    }.items():
        found = await find_product_by_code(session, code)
        assert found is not None
        assert found.id == product, code
    for code in ("94011", "12344", "1234"):
        assert await find_product_by_code(session, code) is None


async def test_a_wrong_check_digit_finds_only_what_has_it_too(
    connection: psycopg.Connection[Any], session: AsyncSession
) -> None:
    """A code that a retailer prints wrong is found as it is stored, and not as another's."""
    add_product(connection, 1, upc_variants=["036000291452"])
    assert await find_product_by_code(session, "036000291453") is None
    wrong = add_product(connection, 2, upc_variants=["0036000291453"])
    found = await find_product_by_code(session, "036000291453")
    assert found is not None
    assert found.id == wrong


async def test_a_code_without_check_digit_is_found_where_it_is_said_to_be_one(
    connection: psycopg.Connection[Any], session: AsyncSession
) -> None:
    """The GTIN that was cut short finds its product, by whole code or as it was printed."""
    product = add_product(connection, 1, upc_variants=["011110417008"])
    assert await find_product_by_code(session, "0001111041700") is None
    found = await find_product_by_code(session, "0001111041700", has_check_digit=False)
    assert found is not None
    assert found.id == product


async def test_many_codes_are_one_statement(
    connection: psycopg.Connection[Any], session: AsyncSession
) -> None:
    """Each code that has a product has its oldest, under the text that was asked for."""
    codes = [f"0300000{n:04}" for n in range(20)]
    codes = [f"{code}{gs1_standard_check_digit(code)}" for code in codes]
    for n, code in enumerate(codes[:18], 1):
        add_product(connection, n, upc_variants=sorted([code, f"40{n:02}"]))
        add_product(connection, 100 + n, upc_variants=[code.zfill(14)])
        add_product(connection, 200 + n, upc_variants=[code])
    with statements(session) as sent:
        found = await find_products_by_codes(session, [*codes, "4003", codes[0].zfill(13)])
    assert len(sent) == 1
    assert {code: row.id for code, row in found.items()} == {
        **{code: number(n) for n, code in enumerate(codes[:18], 1)},
        "4003": number(3),
        codes[0].zfill(13): number(1),
    }
    with statements(session) as sent:
        assert await find_products_by_codes(session, []) == {}
    assert sent == []


@pytest.mark.parametrize("code", ["", "123", "x", "0360002914520000", "036000\x00291452"])
async def test_what_is_no_code_is_refused_before_any_sql(session: AsyncSession, code: str) -> None:
    """The error names the field, and which of several; the server hears nothing."""
    with statements(session) as sent:
        with pytest.raises(InvalidFieldError) as refused:
            await find_product_by_code(session, code)
        assert refused.value.field == "code"
        with pytest.raises(InvalidFieldError) as refused:
            await find_products_by_codes(session, ["4011", code])
        assert refused.value.field == "codes[1]"
    assert sent == []


def test_a_new_code_is_in_its_index_at_once(connection: psycopg.Connection[Any]) -> None:
    """No list of entries that wait to be merged slows a look-up after many products were added."""
    connection.execute(
        "INSERT INTO normalized_products (canonical_name, upc_variants)"
        " SELECT 'x', jsonb_build_array(lpad(n::text, 12, '0')) FROM generate_series(1, 500) n"
    )
    for index in ("ix_normalized_products_upc_variants", "ix_product_names_tokens"):
        pending = connection.execute("SELECT gin_clean_pending_list(%s)", [index]).fetchone()
        assert pending == (0,), index


async def test_products_become_messages_without_rows_between(
    connection: psycopg.Connection[Any], session: AsyncSession
) -> None:
    """The statements of both searches are what the fast path reads, in their order."""
    for n, name in enumerate(("corn flakes", "corn", "corn flakes honey"), 1):
        add_product(connection, n, canonical_name=name, upc_variants=[f"400{n}"])
    messages = await fetch_messages(session, select_products_by_code("4001", "4003"))
    assert {message.id for message in messages} == {str(number(1)), str(number(3))}
    matches = select_products_by_name("corn flakes")
    messages = await fetch_messages(session, matches.with_only_columns(NormalizedProduct))
    assert [message.canonical_name for message in messages] == [
        "corn flakes",
        "corn flakes honey",
        "corn",
    ]
