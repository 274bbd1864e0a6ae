"""Products by name: by the words that a text shares with a product's brand, name and size.

Two texts are as alike as their words: shared words divided by all words of both
(Jaccard similarity). What a word is, the function ``product_name_tokens`` of the
database decides, for products and searches alike.

A product that is at least ``t`` like a text of ``n`` words shares at least
``need = ceil(t * n)`` of them, and has between ``need`` and ``n / t`` words itself.
Only ``n - need`` words can be missing, so of any ``n - need + 3`` words at least three
are shared: the rarest are looked up together in the index, and what has three of them
is scored exactly. Which words are rare is asked of the planner's statistics; old
ones make a search slower and never wrong.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Numeric, Uuid, column, select
from sqlalchemy import text as sql

from cartsnitch_common.constants import MAX_LENGTH
from cartsnitch_common.db.models import NormalizedProduct
from cartsnitch_common.errors import InvalidFieldError

if TYPE_CHECKING:
    import uuid

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

_STEP: Final = decimal.Decimal("0.0001")
_LONGEST: Final = MAX_LENGTH["NormalizedProduct.canonical_name"]

# The words of the text by rank, the rarest first.
_WORDS: Final = """
words AS MATERIALIZED (
  SELECT word,
    row_number() OVER (ORDER BY coalesce(common.share, 0), length(word) DESC, word) AS rank
  FROM unnest(tsvector_to_array(product_name_tokens(:text))) AS words (word)
  LEFT JOIN (
    SELECT list.word, list.share
    FROM pg_stats AS s, unnest(
      CAST(CAST(s.most_common_elems AS text) AS text[]), s.most_common_elem_freqs
    ) AS list (word, share)
    WHERE s.schemaname = 'public' AND s.tablename = 'product_names' AND s.attname = 'tokens'
  ) AS common USING (word)
)"""

# The products of at least a score, which is a whole number of ten-thousandths. Among the
# rarest words each is looked up with any two of those behind it: to read, score and drop
# what shares only two would take longer than the index does to see it. A long text has too
# many words for that, and is looked up by one word less in pairs, or by two less, each alone.
_SEARCH: Final = """,
{name}_asked AS MATERIALIZED (
  SELECT least, words, n, need, n * 10000 / least AS most, n - need + together AS rarest, together
  FROM (SELECT CAST(count(*) AS integer) AS n, array_agg(word) AS words FROM words) AS w
  CROSS JOIN (SELECT CAST({least} AS integer) AS least) AS l
  CROSS JOIN LATERAL (SELECT (n * least + 9999) / 10000 AS need) AS s
  CROSS JOIN LATERAL (
    SELECT CASE
      WHEN need > 2 AND n - need <= 8 THEN 3 WHEN need > 1 AND n - need <= 18 THEN 2 ELSE 1
    END AS together
  ) AS t
),
{name}_terms AS MATERIALIZED (
  SELECT CAST(string_agg(term, ' | ') AS tsquery) AS terms
  FROM (
    SELECT format('''%s'' & ''%s'' & (''%s'')', a.word, b.word, string_agg(c.word, ''' | '''))
      AS term
    FROM {name}_asked
    JOIN words AS c ON c.rank <= rarest
    JOIN words AS b ON b.rank < c.rank
    JOIN words AS a ON a.rank < b.rank
    WHERE together = 3
    GROUP BY a.word, b.word
    UNION ALL
    SELECT format('''%s'' & (''%s'')', a.word, string_agg(b.word, ''' | '''))
    FROM {name}_asked
    JOIN words AS b ON b.rank <= rarest
    JOIN words AS a ON a.rank < b.rank
    WHERE together = 2
    GROUP BY a.word
    UNION ALL
    SELECT format('''%s''', word)
    FROM {name}_asked JOIN words ON rank <= rarest
    WHERE together = 1
  ) AS t
),
{name} AS MATERIALIZED (
  SELECT normalized_product_id, score
  FROM (
    SELECT normalized_product_id, token_count - length(ts_delete(tokens, words)) AS shared,
      token_count + n AS counted
    FROM {name}_asked, product_names
    WHERE tokens @@ (SELECT terms FROM {name}_terms)
      AND token_count BETWEEN (SELECT need FROM {name}_asked) AND (SELECT most FROM {name}_asked)
      AND (token_count - length(ts_delete(tokens, words))) * (10000 + least)
        >= (token_count + n) * least{gate}
  ) AS alike
  CROSS JOIN LATERAL (SELECT trunc(CAST(shared AS numeric) / (counted - shared), 4) AS score) AS s
{after}
  ORDER BY score DESC, normalized_product_id
  LIMIT :limit
)"""

_AFTER: Final = """
  WHERE score < CAST(:after_score AS numeric)
    OR score = CAST(:after_score AS numeric) AND normalized_product_id > CAST(:after_id AS uuid)"""

# What is surely alike comes first, because that is quick to find; the rest only where it
# leaves room.
_SURE: Final = 7500
_ROOM: Final = """
      AND (SELECT count(*) FROM sure) < :limit"""
_EITHER: Final = """
SELECT normalized_product_id, score FROM sure WHERE (SELECT count(*) FROM sure) >= :limit
UNION ALL
SELECT normalized_product_id, score FROM likely"""
_LIKELY: Final = """
SELECT normalized_product_id, score FROM likely"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductMatch:
    """A product whose name is like the one that was searched for."""

    product: NormalizedProduct
    """The product."""

    score: decimal.Decimal
    """How alike: above 0, at most 1, cut to four decimal places."""


def select_products_by_name(
    text: str,
    *,
    min_score: decimal.Decimal = decimal.Decimal("0.5"),
    limit: int = 10,
    after: tuple[decimal.Decimal, uuid.UUID] | None = None,
) -> Select[NormalizedProduct, decimal.Decimal]:
    """The products whose name is most like a text, and their score, the best first.

    Equal scores come ascending by id, so that a page is found behind the last
    entry of the one before. Ask for one match where one is enough: it is found quicker.
    For the products alone, as ``convert.fetch_messages`` reads them, say
    ``.with_only_columns(NormalizedProduct)``.

    Args:
        text: What a person types or a receipt prints; 1 to 500 characters.
        min_score: The lowest score, inclusive; from 0 to 1, with at most four
            decimal places. A product that shares no word is never found. The
            lower it is, the more products are read.
        limit: The most matches; at least 1.
        after: The score and the product's id behind which to begin.

    Raises:
        InvalidFieldError: An argument is none of that; names it.
    """
    parameters = _parameters(text, min_score=min_score, limit=limit)
    if after is None:
        return _statement(_search(parameters)).params(parameters)
    parameters |= {"after_score": after[0], "after_id": after[1]}
    return _statement(_Search.NEXT).params(parameters)


async def find_products_by_name(
    session: AsyncSession,
    text: str,
    *,
    min_score: decimal.Decimal = decimal.Decimal("0.5"),
    limit: int = 10,
) -> list[ProductMatch]:
    """The products that :func:`select_products_by_name` selects.

    Raises:
        InvalidFieldError: An argument is none of what it may be; names it.
    """
    parameters = _parameters(text, min_score=min_score, limit=limit)
    rows = await session.execute(_statement(_search(parameters)), parameters)
    return [ProductMatch(product=row[0], score=row[1]) for row in rows]


class _Search(StrEnum):
    TWO_STEPS = "what is surely alike, then the rest"
    ONE_STEP = "all at once"
    NEXT = "all at once, behind an entry"


def _search(parameters: dict[str, Any]) -> _Search:
    return _Search.TWO_STEPS if parameters["least"] < _SURE else _Search.ONE_STEP


@cache
def _statement(search: _Search) -> Select[NormalizedProduct, decimal.Decimal]:
    # Made once: the text is long, and SQLAlchemy knows a statement again by it.
    in_two = search is _Search.TWO_STEPS
    sure = _SEARCH.format(name="sure", least=_SURE, gate="", after="") if in_two else ""
    likely = _SEARCH.format(
        name="likely",
        least=":least",
        gate=_ROOM if in_two else "",
        after=_AFTER if search is _Search.NEXT else "",
    )
    matches = (
        sql(f"WITH {_WORDS}{sure}{likely}{_EITHER if in_two else _LIKELY}")
        .columns(column("normalized_product_id", Uuid()), column("score", Numeric(5, 4)))
        .subquery("matches")
    )
    return (
        select(NormalizedProduct, matches.c.score)
        .join(matches, matches.c.normalized_product_id == NormalizedProduct.id)
        .order_by(matches.c.score.desc(), NormalizedProduct.id)
    )


def _parameters(text: str, *, min_score: decimal.Decimal, limit: int) -> dict[str, Any]:
    if not text:
        raise InvalidFieldError("text", "must not be empty")
    if len(text) > _LONGEST:
        raise InvalidFieldError("text", f"is longer than {_LONGEST} characters")
    if "\x00" in text:
        raise InvalidFieldError("text", "holds a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidFieldError("text", "holds half of a character")
    if not min_score.is_finite() or not 0 <= min_score <= 1 or min_score % _STEP:
        raise InvalidFieldError("min_score", "must be from 0 to 1, with at most 4 decimal places")
    if limit < 1:
        raise InvalidFieldError("limit", "must be at least 1")
    # A score of 0 would be every product; what shares a word has more.
    return {"text": text, "least": max(int(min_score / _STEP), 1), "limit": limit}
