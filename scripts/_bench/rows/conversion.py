"""Rows to messages and bytes, and back; no database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from _bench import by_hand
from _bench.comparison import Comparison, Direction, Sides
from _bench.models_by_hand import Price, PriceStruct, Purchase, price_struct
from _bench.samples import MANY, Samples, scalars_of
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.purchase.v1 import Purchase as PurchaseMessage
from cartsnitch_common.convert import to_bytes, to_message
from cartsnitch_common.convert.price import PRICE_OBSERVATION
from cartsnitch_common.convert.purchase import PURCHASE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from _bench.world import World
    from cartsnitch_common.db import models

    type Prepare = Callable[[World], AsyncIterator[Sides]]

_AT_MOST, _FASTER = Direction.AT_MOST, Direction.TIMES_AS_FAST
_PRICES: Final = PRICE_OBSERVATION
_LINES: Final = 20
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(PriceStruct)


def _each(
    ours: Callable[[Any], object],
    inputs: Callable[[], Iterable[Any]],
    rival: Callable[[Any], object],
    rivals_inputs: Callable[[], Iterable[Any]] | None = None,
) -> Prepare:
    """Sides that do one thing after the other; each keeps only the last result.

    Each run has inputs that nobody has looked at, as a driver gives them: a Decimal, a date
    and a text remember their hash, and what is measured often would find it there.
    """

    async def prepare(_: World) -> AsyncIterator[Sides]:
        mine: list[Any] = []
        theirs: list[Any] = []

        def renew() -> None:
            mine[:] = inputs()
            theirs[:] = mine if rivals_inputs is None else rivals_inputs()

        def run(work: Callable[[Any], object], many: list[Any]) -> None:
            for one in many:
                work(one)

        renew()
        yield Sides(
            ours=lambda: run(ours, mine),
            rival=lambda: run(rival, theirs),
            units=len(mine),
            after=renew,
        )

    return prepare


def _prices() -> list[models.PriceHistory]:
    samples = Samples()
    return [samples.price() for _ in range(MANY)]


def _purchases() -> list[models.Purchase]:
    samples = Samples()
    return [samples.purchase(_LINES) for _ in range(MANY // _LINES)]


def _rows(make: Callable[[Samples], Any]) -> list[Any]:
    samples = Samples()
    return [make(samples) for _ in range(MANY)]


async def _scalars(_: World) -> AsyncIterator[Sides]:
    rows: list[models.PriceHistory] = []
    records: list[Any] = []

    def renew() -> None:
        rows[:] = _prices()
        records[:] = [scalars_of(_PRICES, row) for row in rows]

    def ours() -> None:
        _PRICES.encode_records(records)

    def rival() -> None:
        for row in rows:
            Price.model_validate(row).model_dump_json()

    renew()
    yield Sides(ours=ours, rival=rival, units=len(rows), after=renew)


def _copy_row(data: bytes) -> bytes:
    return _PRICES.copy_row(PriceObservation.FromString(data))


def _values(data: bytes) -> dict[str, Any]:
    return _PRICES.values(PriceObservation.FromString(data))


def _purchase_values(data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return PURCHASE.values_with_items(PurchaseMessage.FromString(data))


def _to_message(
    name: str, make: Callable[[Samples], Any], rival: Callable[[Any], Any]
) -> Comparison:
    return Comparison(
        name=f"row to message: {name}",
        rival="attribute assignment by hand",
        goal=1.15,
        direction=_AT_MOST,
        prepare=_each(to_message, lambda: _rows(make), rival),
        note="ours refuses what the contract cannot carry; by hand, a float price passes",
    )


ROWS = (
    _to_message("a price", Samples.price, by_hand.price),
    _to_message("a receipt's line", Samples.item, by_hand.item),
    _to_message("a product", Samples.product, by_hand.product),
    _to_message("a coupon", Samples.coupon, by_hand.coupon),
    _to_message("a store", Samples.store, by_hand.store),
    Comparison(
        name="row to bytes: a price",
        rival="Pydantic model_validate + model_dump_json",
        goal=2.2,
        direction=_FASTER,
        prepare=_each(
            to_bytes,
            _prices,
            lambda row: Price.model_validate(row).model_dump_json(),
        ),
    ),
    Comparison(
        name="message-ready scalars to bytes: a price",
        rival="Pydantic model_validate + model_dump_json of a row",
        goal=4,
        direction=_FASTER,
        prepare=_scalars,
        note="all at once, as fetch_messages does before it parses them",
    ),
    Comparison(
        name="row to bytes: a price",
        rival="msgspec",
        goal=None,
        direction=_AT_MOST,
        prepare=_each(
            to_bytes,
            _prices,
            lambda row: _ENCODER.encode(price_struct(row)),
        ),
        note="msgspec carries no contract: JSON, no rules, no check of what it is given",
    ),
    Comparison(
        name="bytes to a row for COPY: a price",
        rival="Pydantic model_validate_json + model_dump, as a tuple",
        goal=1,
        direction=_AT_MOST,
        prepare=_each(
            _copy_row,
            lambda: [to_message(row).SerializeToString() for row in _prices()],
            lambda data: tuple(Price.model_validate_json(data).model_dump().values()),
            lambda: [Price.model_validate(row).model_dump_json() for row in _prices()],
        ),
        note="ours has checked every rule and is encoded; the tuple is still to be",
    ),
    Comparison(
        name="bytes to a dict of columns: a price",
        rival="Pydantic model_validate_json + model_dump",
        goal=1.25,
        direction=_AT_MOST,
        prepare=_each(
            _values,
            lambda: [to_message(row).SerializeToString() for row in _prices()],
            lambda data: Price.model_validate_json(data).model_dump(),
            lambda: [Price.model_validate(row).model_dump_json() for row in _prices()],
        ),
        note="ours has checked every rule",
    ),
    Comparison(
        name="bytes to a dict of columns: a price",
        rival="msgspec, a struct and no dict",
        goal=None,
        direction=_AT_MOST,
        prepare=_each(
            _values,
            lambda: [to_message(row).SerializeToString() for row in _prices()],
            _DECODER.decode,
            lambda: [_ENCODER.encode(price_struct(row)) for row in _prices()],
        ),
        note="msgspec carries no contract; pure Python does not reach it",
    ),
    Comparison(
        name="purchase of 20 items to bytes",
        rival="Pydantic model_validate + model_dump_json",
        goal=3,
        direction=_FASTER,
        prepare=_each(
            to_bytes,
            _purchases,
            lambda row: Purchase.model_validate(row).model_dump_json(),
        ),
        rounds=35,
        note="rows are new in each round: a Decimal that was looked at before knows its hash",
    ),
    Comparison(
        name="bytes to a purchase of 20 items, as dicts",
        rival="Pydantic model_validate_json + model_dump",
        goal=1.1,
        direction=_FASTER,
        prepare=_each(
            _purchase_values,
            lambda: [to_message(row).SerializeToString() for row in _purchases()],
            lambda data: Purchase.model_validate_json(data).model_dump(),
            lambda: [Purchase.model_validate(row).model_dump_json() for row in _purchases()],
        ),
        rounds=35,
        note="ours has checked every rule of the purchase and of its items, Pydantic types;"
        " parsing and reading into dicts alone, nothing checked or converted, was measured"
        " at 2.2 times as fast",
    ),
)
