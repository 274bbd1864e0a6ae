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

The function ``products_by_name`` of the database does that in steps: for what is surely
alike, which is quick to find, then for the rest. One match is sought first among what has
all the words: if that has few others, nothing needs to be scored. The function ends with the
step that has found enough, and keeps its plans for the session, because to plan takes
longer than to search.

For a line of a receipt, give what :func:`~cartsnitch_common.values.receipt_words.spell_out`
makes of it, and look for its code first: words are compared whole. Of 200 lines against 184
products, at a score of at least 0.5, 94 % of the best matches are right and 73 % of the lines
find their product; spelled out 98 % and 97 %. The list of words was made beside those lines.
Of 100 others, whose author had not seen it and cut nearly every word short, no match is wrong
and 10 % of the lines find their product, at 0.3 22 %.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Integer, Numeric, Text, Uuid, bindparam, column, func, select

from cartsnitch_common.constants import MAX_LENGTH
from cartsnitch_common.db.models import NormalizedProduct
from cartsnitch_common.db.queries.anew import anew
from cartsnitch_common.db.queries.arguments import checked_place, checked_text
from cartsnitch_common.db.queries.pages import checked_limit
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.values.four_places import ten_thousandths

if TYPE_CHECKING:
    import uuid

    from sqlalchemy import Select, TableValuedAlias
    from sqlalchemy.ext.asyncio import AsyncSession

_LONGEST: Final = MAX_LENGTH["NormalizedProduct.canonical_name"]


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
    For the products alone, as ``convert.fetch_messages`` reads them, see
    :func:`ask_products_by_name`.

    Args:
        text: What a person types or a receipt prints; 1 to 500 characters.
        min_score: The lowest score, inclusive; from 0 to 1, with at most four
            decimal places. A product that shares no word is never found. The
            lower it is, the more products are read.
        limit: The most matches.
        after: The score and the product's id behind which to begin.

    Raises:
        InvalidFieldError: An argument is none of that; names it.
    """
    parameters = _parameters(text, min_score=min_score, limit=limit)
    after = checked_place(after)
    if after is not None:
        parameters |= {"after_score": after[0], "after_id": after[1]}
    return _statement().params(parameters)


def ask_products_by_name(
    text: str, *, min_score: decimal.Decimal = decimal.Decimal("0.5"), limit: int = 10
) -> tuple[Select[NormalizedProduct], dict[str, Any]]:
    """A statement that is the same each time, for one match or for several, and its parameters.

    It selects the products without their score: ``fetch_messages(session,
    *ask_products_by_name(text))`` is the quickest search there is. Arguments and errors are
    those of :func:`select_products_by_name`.
    """
    statement = _product_alone() if limit == 1 else _products_alone()
    return statement, _parameters(text, min_score=min_score, limit=limit)


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
    rows = await session.execute(_statement(), parameters, execution_options=anew(session))
    return [ProductMatch(product=row[0], score=row[1]) for row in rows]


@cache
def _statement() -> Select[NormalizedProduct, decimal.Decimal]:
    matches = _matches()
    return (
        select(NormalizedProduct, matches.c.score)
        .join(matches, matches.c.normalized_product_id == NormalizedProduct.id)
        .order_by(matches.c.score.desc(), NormalizedProduct.id)
    )


@cache
def _products_alone() -> Select[NormalizedProduct]:
    return _statement().with_only_columns(NormalizedProduct)


@cache
def _product_alone() -> Select[NormalizedProduct]:
    """Of one match: there is nothing to join and to sort."""
    match = select(_matches().c.normalized_product_id).scalar_subquery()
    return select(NormalizedProduct).where(NormalizedProduct.id == match)


def _matches() -> TableValuedAlias:
    return func.products_by_name(
        bindparam("text", type_=Text),
        bindparam("lowest", type_=Integer),
        bindparam("limit", type_=BigInteger),
        bindparam("after_score", None, type_=Numeric),
        bindparam("after_id", None, type_=Uuid),
    ).table_valued(column("normalized_product_id", Uuid()), column("score", Numeric(5, 4)))


def _parameters(text: str, *, min_score: decimal.Decimal, limit: int) -> dict[str, Any]:
    if not text:
        raise InvalidFieldError("text", "must not be empty")
    if len(text) > _LONGEST:
        raise InvalidFieldError("text", f"is longer than {_LONGEST} characters")
    checked_text("text", text)
    try:
        lowest = ten_thousandths(min_score)
    except ValueError as error:
        raise InvalidFieldError("min_score", str(error)) from None
    # A score of 0 would be every product; what shares a word has more.
    return {"text": text, "lowest": max(lowest, 1), "limit": checked_limit(limit)}
