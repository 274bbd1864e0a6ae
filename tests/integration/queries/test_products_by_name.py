from __future__ import annotations

import decimal
import random
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from cartsnitch_common.config import Settings
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.queries.product_names import (
    ask_products_by_name,
    find_products_by_name,
    select_products_by_name,
)
from cartsnitch_common.errors import InvalidFieldError
from tests.integration.queries.name_tokens import likeness, name_tokens
from tests.integration.queries.products import add_product, number, statements
from tests.rows import Rows

D = decimal.Decimal
VOCABULARY = [
    *("meijer", "kroger", "Café", "corn", "flakes", "honey", "oat", "whole", "milk", "2%"),
    *("18 OZ", "12 x 12 fl oz", "1/2 gal", "KELLOGG'S", "o", "Ø", "овсянка", "a&b", "!", "7up"),
]
TEXTS = st.lists(st.sampled_from(VOCABULARY), max_size=12).map(" ".join)
SCORES = st.one_of(
    st.sampled_from([D(0), D("0.25"), D("0.3333"), D("0.5"), D("0.6666"), D("0.75"), D(1)]),
    st.integers(0, 10000).map(lambda n: D(n) / 10000),
)
# Characters that Unicode has had for long: newer ones differ between Python and PostgreSQL.
ANY_TEXT = st.text(
    st.one_of(
        st.characters(max_codepoint=0x2FFF, exclude_characters="\x00", exclude_categories=["Cn"]),
        st.sampled_from("0123456789 .%/'xXozOZflFLlbLBgalctpk\u00d7\u2019½Éﬁ"),
    ),
    max_size=80,
)


@pytest.fixture(scope="module")
def catalogue(shared_database: str) -> Any:
    """A sync session on a database with 300 products, and their words by id."""
    chance = random.Random(4)  # noqa: S311 - the same products in each run
    words = {}
    with psycopg.connect(shared_database) as connection:
        for n in range(300):
            name = " ".join(chance.choices(VOCABULARY, k=chance.randint(1, 8)))
            brand = chance.choice([None, "Meijer", "Post Foods"])
            size = chance.choice([(None, None), ("18", "oz"), ("1", "gal")])
            add_product(
                connection, n, canonical_name=name, brand=brand, size=size[0], size_unit=size[1]
            )
            texts = [brand, name, *size]
            words[number(n)] = name_tokens(" ".join(text for text in texts if text))
    engine = sync_engine(Settings.load(database_url=shared_database))
    with Session(engine) as session:
        yield session, words
    engine.dispose()


@settings(max_examples=150)
@given(
    text=st.one_of(TEXTS.filter(bool), st.integers(0, 299)),
    least=SCORES,
    limit=st.sampled_from([1, 3, 1000]),
)
def test_a_search_finds_what_reading_everything_finds(
    catalogue: Any, text: str | int, least: D, limit: int
) -> None:
    """The same products with the same scores in the same order, at every bound, alone as well."""
    session, words = catalogue
    if isinstance(text, int):  # what a product is called, in part
        text = " ".join(sorted(words[number(text)])[: 1 + int(least * 10)]) or "!"
    asked = name_tokens(text)
    scanned = [(likeness(asked, found), product) for product, found in words.items()]
    expected = sorted(
        ((score, product) for score, product in scanned if score >= max(least * 10000, 1)),
        key=lambda match: (-match[0], match[1]),
    )[:limit]
    query = select_products_by_name(text, min_score=least, limit=limit)
    rows = session.execute(query).all()
    assert [(score * 10000, product.id) for product, score in rows] == expected
    alone = session.scalars(*ask_products_by_name(text, min_score=least, limit=limit))
    assert [product.id for product in alone] == [product for _, product in expected]


@settings(max_examples=40)
@given(st.lists(ANY_TEXT, min_size=30, max_size=60))
def test_python_and_the_database_see_the_same_words(catalogue: Any, texts: list[str]) -> None:
    """What the searches are compared with reads texts as the database does."""
    session, _ = catalogue
    found = session.connection().exec_driver_sql(
        "SELECT tsvector_to_array(product_name_tokens(t)) FROM unnest(%s::text[]) t", (texts,)
    )
    assert [frozenset(row[0]) for row in found] == [name_tokens(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Kellogg's® Corn-Flakes, 18 OZ.", {"kelloggs", "corn", "flakes", "18oz"}),
        ("CRÈME BRÛLÉE 12PK/12 FL. OZ", {"creme", "brulee", "12ct", "12floz"}),
        ("2% milk 1/2 GALLON 15.4 ounces", {"2%", "milk", "1/2gal", "15.4oz"}),
        ("12 x 12 FZ 3 LBS 10 COUNT", {"12", "x", "12floz", "3lb", "10ct"}),
        ("' & ! | : * ( \\ \" %s", {"s"}),
        ("x" * 500, {"x" * 64}),
        ("ﷺ" * 499, None),
    ],
)
def test_words_are_comparable(catalogue: Any, text: str, words: set[str] | None) -> None:
    """Case, accents, punctuation and the spelling of units do not count, and no text is too odd."""
    session, _ = catalogue
    found = session.connection().exec_driver_sql(
        "SELECT tsvector_to_array(product_name_tokens(%s))", (text,)
    )
    read = frozenset(found.scalar_one())
    assert read == name_tokens(text)
    assert words is None or read == words


async def test_old_statistics_make_no_difference(rows: Rows, session: AsyncSession) -> None:
    """Without statistics, with them, and with such of other words, the matches are the same."""
    for n in range(40):
        add_product(rows.connection, n, canonical_name=f"corn flakes honey {n % 10} {n % 7}")

    async def found() -> list[tuple[Any, D]]:
        matches = await find_products_by_name(session, "honey flakes 3 5", limit=50)
        return [(match.product.id, match.score) for match in matches]

    first = await found()
    assert len(first) > 5
    rows.connection.execute("ANALYZE product_names")
    assert await found() == first
    rows.connection.execute(
        "UPDATE normalized_products SET canonical_name = canonical_name || ' x'"
    )
    rows.connection.execute("ANALYZE product_names")
    rows.connection.execute(
        "UPDATE normalized_products SET canonical_name = replace(canonical_name, ' x', '')"
    )
    assert await found() == first


async def test_pages_hold_each_match_once(rows: Rows, session: AsyncSession) -> None:
    """Page behind page, by score and id, nothing is left out and nothing comes twice."""
    for n in range(30):
        add_product(rows.connection, n, canonical_name=f"corn flakes {'honey ' * (n % 3)} {n % 5}")
    whole = await find_products_by_name(session, "corn flakes", min_score=D("0.3"), limit=100)
    assert len(whole) == 30
    pages, after = [], None
    while True:
        query = select_products_by_name("corn flakes", min_score=D("0.3"), limit=7, after=after)
        page = (await session.execute(query)).all()
        pages += [(product.id, score) for product, score in page]
        if len(page) < 7:
            break
        after = page[-1][1], page[-1][0].id
    assert pages == [(match.product.id, match.score) for match in whole]


def test_the_words_follow_every_write(rows: Rows) -> None:
    """Any writer's inserts, changes and deletes leave the words as if made anew, and no others."""
    connection = rows.connection

    def check(expected: int) -> None:
        wrong = connection.execute(
            "SELECT count(*) FROM normalized_products p FULL JOIN product_names n"
            " ON n.normalized_product_id = p.id WHERE n.tokens IS DISTINCT FROM"
            " product_name_tokens(concat_ws(' ', brand, canonical_name, size, size_unit))"
            " OR n.token_count <> length(n.tokens)"
        ).fetchone()
        assert wrong == (0,)
        assert rows.count("product_names") == expected

    connection.execute(
        "INSERT INTO normalized_products (canonical_name)"
        " SELECT 'p ' || n FROM generate_series(1, 9) n"
    )
    with connection.cursor().copy(
        "COPY normalized_products (canonical_name, brand) FROM STDIN"
    ) as copy:
        copy.write_row(("Corn Flakes", "Kellogg's"))
    check(10)
    versions = "SELECT normalized_product_id, xmin::text FROM product_names ORDER BY 1"
    before = connection.execute(versions).fetchall()
    connection.execute("UPDATE normalized_products SET category = 'x', upc_variants = '[\"4011\"]'")
    assert connection.execute(versions).fetchall() == before
    for change in ("brand = 'b'", "canonical_name = 'n'", "size = '1', size_unit = 'oz'"):
        connection.execute(f"UPDATE normalized_products SET {change}")
        check(10)
    connection.execute(
        "INSERT INTO normalized_products (id, canonical_name)"
        " SELECT id, 'again' FROM normalized_products LIMIT 5"
        " ON CONFLICT (id) DO UPDATE SET canonical_name = excluded.canonical_name"
    )
    check(10)
    connection.execute("DELETE FROM normalized_products WHERE canonical_name = 'again'")
    check(5)
    connection.execute("TRUNCATE normalized_products CASCADE")
    check(0)


async def test_a_text_of_any_length_is_searched(rows: Rows, session: AsyncSession) -> None:
    """As many words as fit into 500 characters are looked up, in little time."""
    text = " ".join(chr(ord("a") + n % 26) + chr(ord("a") + n // 26) for n in range(166))[:500]
    add_product(rows.connection, 1, canonical_name=text)
    for least in ("0", "0.3", "0.75", "1"):
        (match,) = await find_products_by_name(session, text, min_score=D(least))
        assert match.score == 1
    assert await find_products_by_name(session, "? !", min_score=D(0)) == []


@pytest.fixture
async def watched(session: AsyncSession) -> AsyncIterator[AsyncSession]:
    with statements(session) as sent:
        yield session
        assert sent == []


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("text", {"text": ""}),
        ("text", {"text": "x" * 501}),
        ("text", {"text": "a\x00b"}),
        ("text", {"text": "a\ud800b"}),
        ("min_score", {"min_score": D("1.1")}),
        ("min_score", {"min_score": D("-0.1")}),
        ("min_score", {"min_score": D("0.33333")}),
        ("min_score", {"min_score": D("NaN")}),
        ("min_score", {"min_score": D("Infinity")}),
        ("limit", {"limit": 0}),
    ],
)
async def test_what_is_wrong_is_refused_before_any_sql(
    watched: AsyncSession, field: str, arguments: dict[str, Any]
) -> None:
    """The error names the argument; the server hears nothing."""
    with pytest.raises(InvalidFieldError) as refused:
        await find_products_by_name(watched, **{"text": "milk", **arguments})
    assert refused.value.field == field
