"""Writes a purchase with what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Final, Unpack

from sqlalchemy import bindparam, select

from cartsnitch.account.v1 import User
from cartsnitch.catalog.v1 import NormalizedProduct, Store, StoreLocation
from cartsnitch.purchase.v1 import Purchase
from cartsnitch_common.constants import Service, StoreSlug
from cartsnitch_common.contract.difference import first_difference
from cartsnitch_common.convert import fetch_messages
from cartsnitch_common.convert.purchase import PURCHASE
from cartsnitch_common.db import models
from cartsnitch_common.db.queries.recording import insert_purchase
from cartsnitch_common.db.seed import STORES
from cartsnitch_common.errors import (
    ConstraintViolationError,
    InvalidFieldError,
    NotFoundError,
    ReceiptConflictError,
    TransactionAbortedError,
)
from cartsnitch_common.events import outbox
from cartsnitch_common.recording.events import events_of
from cartsnitch_common.recording.prices import (
    delta_of,
    observation_of,
    price_of,
    shared_observation,
    shows_price,
)
from cartsnitch_common.values.ids import new_uuid_texts, parse_uuid
from cartsnitch_common.values.json_text import json_to_text
from cartsnitch_common.values.numbers import decimal_to_text, text_to_decimal

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from sqlalchemy import Select
    from sqlalchemy.ext.asyncio import AsyncSession

    from cartsnitch.pricing.v1 import PriceObservation
    from cartsnitch_common.db.queries.recording import Inserted
    from cartsnitch_common.events.outbox import SharedContext
    from cartsnitch_common.recording.events import Match
    from cartsnitch_common.recording.prices import PriceDelta

    type Row = dict[str, Any]

_USER_KEY: Final = "fk_purchases_user_id"
_SEEDED: Final = {str(store.id): store.slug for store in STORES}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPurchase:
    """What became of a purchase.

    Attributes:
        purchase: The purchase with its items and their ids, as it is recorded.
        is_new: Whether it was recorded now. If not, nothing was written and nothing
            published.
        observations: The prices that were recorded, in the order of the lines.
        deltas: How they compare with the prices before, in the same order.
    """

    purchase: Purchase
    is_new: bool
    observations: tuple[PriceObservation, ...] = ()
    deltas: tuple[PriceDelta, ...] = ()

    @property
    def purchase_id(self) -> uuid.UUID:
        """The id of the purchase, new or recorded before."""
        return parse_uuid(self.purchase.id)


async def record_purchase(
    session: AsyncSession,
    purchase: Purchase,
    *,
    matches: Mapping[int, Match] | None = None,
    raw_data: Mapping[str, Any] | None = None,
    **context: Unpack[SharedContext],
) -> RecordedPurchase:
    """Write a purchase with its items, prices and events, once for a store and receipt_id.

    Each line that is matched to a product and was bought shows a price; a returned one
    shows none. The events are ReceiptsIngested and, where there is something to tell,
    ProductsNormalized and PricesUpdated. Of two transactions that record one receipt, the
    second waits for the first, and finds it recorded.

    Args:
        session: A session on PostgreSQL, of ReceiptWitness.
        purchase: The purchase with its items; it stays as it is. Ids of the purchase and
            its items that are unset are made; those that are set must ascend with the lines.
        matches: How lines with a product were matched to it, by their index. Other lines
            are by the code that is printed, or else by name, with certainty.
        raw_data: What the retailer sent, kept beside the purchase: whatever JSON can say.
        **context: What the events carry; see ``EventContext``.

    Raises:
        InvalidFieldError: A rule of the contract is broken, or a value does not fit its
            column; names the field, before any SQL.
        NotFoundError: The store, the shop at it, or a product does not exist; or the user,
            whom only a foreign key finds: the transaction has failed then.
        ReceiptConflictError: The receipt is recorded already, with other content.
        ConstraintViolationError: An id that was given is taken.
        EventError: An event is larger than a channel carries.
    """
    purchase = _with_ids(purchase)
    row, items = _rows(purchase)
    kept = None if raw_data is None else _as_text(raw_data)
    prices, observations = [], []
    shared = shared_observation(purchase)
    for price_id, item, values in zip(
        new_uuid_texts(len(items)), purchase.items, items, strict=True
    ):
        if shows_price(values):
            price = price_of(price_id, values)
            prices.append(price)
            observations.append(observation_of(price_id, price, shared, item))

    async def insert(store: StoreSlug) -> Inserted:
        events = events_of(purchase, store, observations, matches or {})
        columns = outbox.columns_of(events, service=Service.RECEIPTWITNESS, **context)
        return await insert_purchase(
            session, row, items, prices, raw_data=kept, store=store, events=columns
        )

    # Which retailer the store is, the database says; of the stores that every installation
    # begins with it is known, and the events can be written in the same round trip.
    expected = _SEEDED.get(purchase.store_id, StoreSlug.MEIJER)
    try:
        inserted = await insert(expected)
        if inserted.store not in {None, expected}:
            inserted = await insert(inserted.store)
    except ConstraintViolationError as error:
        if error.constraint == _USER_KEY:
            raise NotFoundError(User.DESCRIPTOR.full_name, "user_id") from None
        raise
    _check_parents(items, inserted)
    if not inserted.is_new:
        return RecordedPurchase(purchase=await _recorded(session, purchase), is_new=False)
    return RecordedPurchase(
        purchase=purchase,
        is_new=True,
        observations=tuple(observations),
        deltas=tuple(map(delta_of, prices, inserted.before)),
    )


# -- the message as rows -------------------------------------------------------


def _with_ids(purchase: Purchase) -> Purchase:
    """A copy in which everything has an id."""
    made = Purchase()
    made.CopyFrom(purchase)
    first, *others = new_uuid_texts(1 + len(made.items))
    made.id = made.id or first
    for item, other in zip(made.items, others, strict=True):
        item.id = item.id or other
        item.purchase_id = item.purchase_id or made.id
    return made


def _rows(purchase: Purchase) -> tuple[Row, list[Row]]:
    """The rows of a purchase and its items, which keep every rule.

    Quantities become as they are read back.
    """
    row, items = PURCHASE.values_with_items(purchase)
    if not items:
        raise InvalidFieldError("items", "a receipt has at least one item", rule_id="receipt.items")
    before = ""
    for index, item in enumerate(purchase.items):
        if item.id <= before:
            path = f"items[{index}].id"
            raise InvalidFieldError(path, "must be above the id of the line before")
        before = item.id
        item.quantity.value = _as_read_back(item.quantity.value)
    return row, items


@lru_cache(maxsize=4096)
def _as_read_back(quantity: str) -> str:
    """A quantity without the zeros that a column of numbers does not keep: 1.50 is 1.5."""
    return decimal_to_text(text_to_decimal(quantity))


def _as_text(raw_data: Mapping[str, Any]) -> str:
    if not isinstance(raw_data, Mapping):
        raise InvalidFieldError("raw_data", "must be a mapping")
    try:
        return json_to_text(dict(raw_data))
    except ValueError as error:
        raise InvalidFieldError("raw_data", str(error)) from None


def _check_parents(items: Sequence[Row], inserted: Inserted) -> None:
    if inserted.store is None:
        raise NotFoundError(Store.DESCRIPTOR.full_name, "store_id")
    if not inserted.has_location:
        raise NotFoundError(StoreLocation.DESCRIPTOR.full_name, "store_location_id")
    for index, values in enumerate(items):
        if values["normalized_product_id"] in inserted.missing_products:
            path = f"items[{index}].normalized_product_id"
            raise NotFoundError(NormalizedProduct.DESCRIPTOR.full_name, path)


# -- the purchase that is there ------------------------------------------------


async def _recorded(session: AsyncSession, purchase: Purchase) -> Purchase:
    """The purchase that is recorded under this number, if it is the same receipt.

    Messages and no rows: what the session holds may be older than the database's.
    """
    asked = {"store": parse_uuid(purchase.store_id), "receipt": purchase.receipt_id}
    found = await fetch_messages(session, _of_receipt(), asked, with_items=True)
    if not found:  # deleted since the insert met it
        raise TransactionAbortedError
    (recorded,) = found
    path = first_difference(*_printed(recorded, purchase))
    if path is not None:
        raise ReceiptConflictError(path, purchase.receipt_id)
    return recorded


@cache
def _of_receipt() -> Select[models.Purchase]:
    return select(models.Purchase).where(
        models.Purchase.store_id == bindparam("store"),
        models.Purchase.receipt_id == bindparam("receipt"),
    )


def _printed(*readings: Purchase) -> list[Purchase]:
    """What the paper says, as each reading has it: without ids, matches and how it was read.

    The shop counts where every reading has it: it is matched by what is printed of it. The
    user does not stand on the paper, and counts.
    """
    found = []
    for reading in readings:
        printed = Purchase()
        printed.CopyFrom(reading)
        printed.ClearField("id")
        printed.ClearField("store_id")
        printed.ClearField("source_url")
        printed.ClearField("ingest_time")
        if not all(each.HasField("store_location_id") for each in readings):
            printed.ClearField("store_location_id")
        for item in printed.items:
            item.ClearField("id")
            item.ClearField("purchase_id")
            item.ClearField("normalized_product_id")
        found.append(printed)
    return found
