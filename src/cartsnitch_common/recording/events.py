"""The events of a purchase that is recorded."""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cartsnitch.catalog.v1 import StoreSlug as StoreNumber
from cartsnitch.event.v1 import (
    IngestedReceipt,
    MatchMethod,
    PricesUpdated,
    ProductsNormalized,
    ReceiptsIngested,
)
from cartsnitch_common.contract.scalars import from_decimal, to_decimal
from cartsnitch_common.errors import InvalidFieldError
from cartsnitch_common.values.four_places import ten_thousandths
from cartsnitch_common.values.no_package import was_weighed
from cartsnitch_common.values.printed_sizes import find_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from google.protobuf.message import Message

    from cartsnitch.pricing.v1 import PriceObservation
    from cartsnitch.purchase.v1 import Purchase, PurchaseItem
    from cartsnitch.type.v1 import Decimal
    from cartsnitch_common.constants import StoreSlug

    type How = tuple[MatchMethod.ValueType, Decimal]

_PLU_DIGITS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How a line was matched to its product.

    Attributes:
        method: By its code or by its name.
        confidence: How sure the match is: a probability of at most four decimal places.
    """

    method: MatchMethod.ValueType
    confidence: decimal.Decimal = decimal.Decimal(1)


_CERTAIN: Final = to_decimal(1)
_BY_NAME: Final = MatchMethod.MATCH_METHOD_NAME, _CERTAIN
_BY_PLU: Final = MatchMethod.MATCH_METHOD_PLU, _CERTAIN
_BY_GTIN: Final = MatchMethod.MATCH_METHOD_GTIN, _CERTAIN
_METHODS: Final = frozenset(MatchMethod.values()) - {MatchMethod.MATCH_METHOD_UNSPECIFIED}


def events_of(
    purchase: Purchase,
    slug: StoreSlug,
    observations: Sequence[PriceObservation],
    matches: Mapping[int, Match],
) -> list[tuple[Message, str]]:
    """The events of a new purchase, each with its key.

    Raises:
        InvalidFieldError: A match is of no line with a product, or is no match.
    """
    told = {index: _told(purchase, index, match) for index, match in matches.items()}
    store = StoreNumber.Value(f"STORE_SLUG_{slug.upper()}")
    receipt = IngestedReceipt(
        purchase_id=purchase.id,
        receipt_id=purchase.receipt_id,
        purchase_date=purchase.purchase_date,
        total=purchase.total,
        item_count=len(purchase.items),
    )
    ingested = ReceiptsIngested(
        user_id=purchase.user_id, store_id=purchase.store_id, store=store, receipts=[receipt]
    )
    events: list[tuple[Message, str]] = [(ingested, purchase.user_id)]
    normalized = ProductsNormalized(store_id=purchase.store_id, store=store)
    for index, item in enumerate(purchase.items):
        if item.HasField("normalized_product_id"):
            _add_match(normalized, purchase, item, *(told.get(index) or _by_print(item)))
    if normalized.matches:
        events.append((normalized, purchase.store_id))
    if observations:
        updated = PricesUpdated(store_id=purchase.store_id, store=store, observations=observations)
        events.append((updated, purchase.store_id))
    return events


def _add_match(
    event: ProductsNormalized,
    purchase: Purchase,
    item: PurchaseItem,
    method: MatchMethod.ValueType,
    confidence: Decimal,
) -> None:
    match = event.matches.add()  # and no arguments, which take twice as long
    match.purchase_item_id = item.id
    match.normalized_product_id = item.normalized_product_id
    match.method = method
    match.confidence.CopyFrom(confidence)
    match.purchase_date.CopyFrom(purchase.purchase_date)
    found = find_size(item.product_name_raw)
    if found is not None and not was_weighed(found, from_decimal(item.quantity)):
        match.observed_size, match.observed_size_unit = found
    match.shelf_price.CopyFrom(
        item.regular_price if item.HasField("regular_price") else item.unit_price
    )


def _told(purchase: Purchase, index: int, match: Match) -> How:
    """What a caller says of a line; an event's own rules would name the place in the event."""
    path = f"matches[{index}]"
    if index not in range(len(purchase.items)):
        raise InvalidFieldError(path, "names no line")
    if not purchase.items[index].HasField("normalized_product_id"):
        raise InvalidFieldError(path, "names a line without a product")
    if match.method not in _METHODS:
        raise InvalidFieldError(f"{path}.method", "must be a method")
    try:
        confidence = ten_thousandths(match.confidence)
    except ValueError as error:
        raise InvalidFieldError(f"{path}.confidence", str(error)) from None
    return match.method, to_decimal(decimal.Decimal(f"{confidence}E-4"))


def _by_print(item: PurchaseItem) -> How:
    if not item.HasField("upc"):
        return _BY_NAME
    if len(item.upc.lstrip("0")) <= _PLU_DIGITS:
        return _BY_PLU
    return _BY_GTIN
