"""Every aggregate's mapping, and which of them a row or a message belongs to."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from cartsnitch_common.convert.coupon import COUPON
from cartsnitch_common.convert.price import PRICE_OBSERVATION
from cartsnitch_common.convert.product import NORMALIZED_PRODUCT
from cartsnitch_common.convert.purchase import PURCHASE, PURCHASE_ITEM
from cartsnitch_common.convert.shrinkflation import SHRINKFLATION_EVENT
from cartsnitch_common.convert.store import STORE, STORE_LOCATION
from cartsnitch_common.convert.user import USER, USER_STORE_ACCOUNT

if TYPE_CHECKING:
    from cartsnitch_common.convert.mapping import Mapping

MAPPINGS: Final[tuple[Mapping[Any, Any], ...]] = (
    STORE,
    STORE_LOCATION,
    USER,
    USER_STORE_ACCOUNT,
    NORMALIZED_PRODUCT,
    PURCHASE,
    PURCHASE_ITEM,
    PRICE_OBSERVATION,
    COUPON,
    SHRINKFLATION_EVENT,
)
"""Every aggregate's mapping; parents stand before their children."""


@cache
def by_row() -> dict[type, Mapping[Any, Any]]:
    """The mappings by their models."""
    return {mapping.row: mapping for mapping in MAPPINGS}


@cache
def by_message() -> dict[type, Mapping[Any, Any]]:
    """The mappings by the classes of their messages."""
    return {mapping.message: mapping for mapping in MAPPINGS}


def mapping_of_row(row: type) -> Mapping[Any, Any]:
    """The mapping of a model.

    Raises:
        TypeError: No message carries the rows of the model.
    """
    try:
        return by_row()[row]
    except KeyError:
        raise TypeError(f"{row.__name__} has no message") from None


def mapping_of_message(message: type) -> Mapping[Any, Any]:
    """The mapping of a message's class.

    Raises:
        TypeError: No table keeps the messages of the class.
    """
    try:
        return by_message()[message]
    except KeyError:
        raise TypeError(f"{message.__name__} has no table") from None
