"""Products by the code that a retailer sells them under: a GTIN or a PLU code.

Every spelling of a code is looked up at once in the index on ``upc_variants``, so
it does not matter in which of them the code is stored and in which it is asked for.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Text, any_, bindparam, cast, select
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, JSONPATH

from cartsnitch_common.db.models import NormalizedProduct
from cartsnitch_common.db.queries.anew import anew
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.values.gtin import code_spellings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

_CODES: Final = ARRAY(JSONB)


def select_products_by_code(*codes: str, has_check_digit: bool = True) -> Select[NormalizedProduct]:
    """The products that are sold under any of some codes, in no order.

    The statement says neither ORDER BY nor LIMIT: with them the planner may read
    the products by id, one after the other, until one fits. There are few to sort.

    Args:
        *codes: GTINs and PLU codes, in any spelling.
        has_check_digit: False for a retailer that prints GTINs without it; see
            :func:`~cartsnitch_common.values.gtin.parse_code`.

    Raises:
        InvalidFieldError: One is no code. The field is ``code``, or ``codes[2]``
            where there are several.
    """
    statement, parameters = ask_products_by_code(*codes, has_check_digit=has_check_digit)
    return statement.params(parameters)


def ask_products_by_code(
    *codes: str, has_check_digit: bool = True
) -> tuple[Select[NormalizedProduct], dict[str, Any]]:
    """A statement that is the same each time, and its parameters for some codes.

    ``fetch_messages(session, *ask_products_by_code(code))`` is the quickest look-up there is.
    Arguments and errors are those of :func:`select_products_by_code`.
    """
    return _asking(_spellings(codes, has_check_digit=has_check_digit))


async def find_product_by_code(
    session: AsyncSession, code: str, *, has_check_digit: bool = True
) -> NormalizedProduct | None:
    """The product that is sold under a code; of several the oldest, which has the smallest id.

    A code with a wrong check digit finds what is stored with the same wrong digit,
    and never a trade item. A store's own number (see
    :class:`~cartsnitch_common.values.gtin.CodeKind`) finds what is stored under it:
    whoever stores one answers for whose number it is.

    Raises:
        InvalidFieldError: It is no code; the field is ``code``.
    """
    spellings = _spellings((code,), has_check_digit=has_check_digit)
    rows = await session.scalars(*_asking(spellings), execution_options=anew(session))
    return min(rows, key=lambda row: row.id, default=None)


async def find_products_by_codes(
    session: AsyncSession, codes: Iterable[str], *, has_check_digit: bool = True
) -> dict[str, NormalizedProduct]:
    """The product of each code that has one, by the code as it was asked for.

    One statement, however many codes there are. Of several products it is the oldest.

    Raises:
        InvalidFieldError: One is no code; the field is ``codes[2]`` for the third.
    """
    asked = tuple(codes)
    spellings = _spellings(asked, has_check_digit=has_check_digit, field="codes[{}]")
    if not spellings:
        return {}
    statement, parameters = _asking(spellings)
    # The codes that were found, and not those of a row that the session may hold from before.
    query = _with_codes(statement)
    rows = await session.execute(query, parameters, execution_options=anew(session))
    by_spelling: dict[str, NormalizedProduct] = {}
    for row, variants in sorted(rows, key=lambda found: found[0].id, reverse=True):
        by_spelling.update(dict.fromkeys(variants, row))  # the oldest comes last
    found: dict[str, NormalizedProduct] = {}
    for code, same in spellings.items():
        products = [by_spelling[one] for one in same if one in by_spelling]
        if products:
            found[code] = min(products, key=lambda row: row.id)
    return found


def _asking(
    spellings: dict[str, tuple[str, ...]],
) -> tuple[Select[NormalizedProduct], dict[str, Any]]:
    """The statement for some codes, and its parameters."""
    if len(spellings) == 1:
        # One probe of the index for all spellings, and one text as a parameter. For many
        # codes it would be slower: each row that is found is held against the whole path.
        (same,) = spellings.values()
        either = " || ".join([f'@ == "{one}"' for one in same])
        return _of_one_code(), {"path": f"$[*] ? ({either})"}
    return _of_codes(), {"codes": [[one] for same in spellings.values() for one in same]}


# A subquery hides the codes from the planner, which has one plan for all of them then.
# It would make a new plan each time otherwise, and that takes twice as long as the
# look-up: it compares every code with every entry of the statistics.


@cache
def _of_one_code() -> Select[NormalizedProduct]:
    hidden = select(cast(bindparam("path", type_=Text), JSONPATH)).scalar_subquery()
    return select(NormalizedProduct).where(NormalizedProduct.upc_variants.op("@?")(hidden))


@cache
def _of_codes() -> Select[NormalizedProduct]:
    hidden = cast(select(bindparam("codes", type_=_CODES)).scalar_subquery(), _CODES)
    return select(NormalizedProduct).where(NormalizedProduct.upc_variants.op("@>")(any_(hidden)))


@cache
def _with_codes(
    statement: Select[NormalizedProduct],
) -> Select[NormalizedProduct, list[str]]:
    return statement.add_columns(NormalizedProduct.upc_variants)


def _spellings(
    codes: tuple[str, ...], *, has_check_digit: bool, field: str = ""
) -> dict[str, tuple[str, ...]]:
    field = field or ("code" if len(codes) == 1 else "codes[{}]")
    found: dict[str, tuple[str, ...]] = {}
    for index, code in enumerate(codes):
        try:
            found[code] = code_spellings(code, has_check_digit=has_check_digit)
        except ValueError as error:
            raise InvalidFieldError(field.format(index), str(error)) from None
    return found
