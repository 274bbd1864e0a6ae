"""Rows to messages and bytes, and back; no database.

Beside each stands msgspec, without a goal: it carries no contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from _bench import by_hand
from _bench.comparison import Comparison, Direction, one_by_one
from _bench.models_by_hand import (
    Price,
    PriceStruct,
    Purchase,
    PurchaseStruct,
    price_struct,
    purchase_struct,
    struct_maker,
)
from _bench.samples import MANY, Samples, scalars_of
from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch.purchase.v1 import Purchase as PurchaseMessage
from cartsnitch_common.convert import to_bytes, to_message
from cartsnitch_common.convert.price import PRICE_OBSERVATION
from cartsnitch_common.convert.purchase import PURCHASE
from cartsnitch_common.convert.registry import mapping_of_row
from cartsnitch_common.db import models

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

    from _bench.comparison import Sides
    from _bench.world import World

_PRICES: Final = PRICE_OBSERVATION
_LINES: Final = 20
_ENCODER: Final = msgspec.json.Encoder()
_PRICE_DECODER: Final = msgspec.json.Decoder(PriceStruct)
_PURCHASE_DECODER: Final = msgspec.json.Decoder(PurchaseStruct)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rival:
    """What a conversion is measured against.

    Attributes:
        name: What it is.
        work: Converts one input.
        inputs: Makes its inputs; None for the same as ours.
        goal: As of a comparison.
        direction: As of a comparison.
        rounds: As of a comparison.
        note: As of a comparison.
    """

    name: str
    work: Callable[[Any], object]
    inputs: Callable[[], Iterable[Any]] | None = None
    goal: float | None = None
    direction: Direction = Direction.AT_MOST
    rounds: int = 7
    note: str = ""


def _msgspec(
    work: Callable[[Any], object], inputs: Callable[[], Iterable[Any]] | None = None, made: str = ""
) -> _Rival:
    return _Rival(
        name=f"msgspec{made}",
        work=work,
        inputs=inputs,
        note="msgspec carries no contract: JSON, no rules, no check of a row; where it is faster,"
        " pure Python does not reach it",
    )


def _against(
    name: str,
    ours: Callable[[Any], object],
    inputs: Callable[[], Iterable[Any]],
    *rivals: _Rival,
) -> Iterator[Comparison]:
    for rival in rivals:
        yield Comparison(
            name=name,
            rival=rival.name,
            goal=rival.goal,
            direction=rival.direction,
            prepare=one_by_one(ours, inputs, rival.work, rival.inputs),
            rounds=rival.rounds,
            note=rival.note,
        )


def _rows(make: Callable[[Samples], Any], count: int = MANY) -> Callable[[], list[Any]]:
    def rows() -> list[Any]:
        samples = Samples()
        return [make(samples) for _ in range(count)]

    return rows


def _made_of(
    inputs: Callable[[], list[Any]], make: Callable[[Any], bytes | str]
) -> Callable[[], list[bytes | str]]:
    return lambda: [make(row) for row in inputs()]


def _scalars(rival: Callable[[Any], object]) -> Callable[[World], AsyncIterator[Sides]]:
    """All records at once, as ``fetch_messages`` does; a rival has their rows, one by one."""

    def run(records: list[Any]) -> None:
        _PRICES.encode_records(records)

    def each(rows: list[Any]) -> None:
        for row in rows:
            rival(row)

    return one_by_one(
        run,
        lambda: [[scalars_of(_PRICES, row) for row in _price_rows()]],
        each,
        lambda: [_price_rows()],
        units=MANY,
    )


def _copy_row(data: bytes) -> bytes:
    return _PRICES.copy_row(PriceObservation.FromString(data))


def _values(data: bytes) -> dict[str, Any]:
    return _PRICES.values(PriceObservation.FromString(data))


def _purchase_values(data: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return PURCHASE.values_with_items(PurchaseMessage.FromString(data))


def _wire(row: Any) -> bytes:
    data: bytes = to_message(row).SerializeToString()
    return data


def _price_json(row: Any) -> str:
    return Price.model_validate(row).model_dump_json()


def _price_struct_json(row: Any) -> bytes:
    return _ENCODER.encode(price_struct(row))


def _purchase_json(row: Any) -> str:
    return Purchase.model_validate(row).model_dump_json()


def _purchase_struct_json(row: Any) -> bytes:
    return _ENCODER.encode(purchase_struct(row))


def _to_message(
    name: str, row: type[models.Base], make: Callable[[Samples], Any], rival: Callable[[Any], Any]
) -> Iterator[Comparison]:
    columns = [pair.column for pair in mapping_of_row(row).pairs]
    return _against(
        f"row to message: {name}",
        to_message,
        _rows(make),
        _Rival(
            name="attribute assignment by hand",
            work=rival,
            goal=1.15,
            note="ours refuses what the contract cannot carry; by hand, a float price passes",
        ),
        _msgspec(struct_maker(msgspec.defstruct(name, columns)), made=", a struct"),
    )


_price_rows: Final = _rows(Samples.price)
_purchase_rows: Final = _rows(lambda samples: samples.purchase(_LINES), MANY // _LINES)
_PYDANTIC: Final = "Pydantic model_validate + model_dump_json"
_PYDANTIC_BACK: Final = "Pydantic model_validate_json + model_dump"
_FASTER: Final = Direction.TIMES_AS_FAST

ROWS = (
    *_to_message("a price", models.PriceHistory, Samples.price, by_hand.price),
    *_to_message("a receipt's line", models.PurchaseItem, Samples.item, by_hand.item),
    *_to_message("a product", models.NormalizedProduct, Samples.product, by_hand.product),
    *_to_message("a coupon", models.Coupon, Samples.coupon, by_hand.coupon),
    *_to_message("a store", models.Store, Samples.store, by_hand.store),
    *_against(
        "row to bytes: a price",
        to_bytes,
        _price_rows,
        _Rival(name=_PYDANTIC, work=_price_json, goal=2.2, direction=_FASTER),
        _msgspec(_price_struct_json),
    ),
    *(
        Comparison(
            name="message-ready scalars to bytes: a price",
            rival=f"{rival} of a row",
            goal=goal,
            direction=direction,
            prepare=_scalars(work),
            note="all at once, as fetch_messages does before it parses them",
        )
        for rival, work, goal, direction in (
            (_PYDANTIC, _price_json, 4, _FASTER),
            ("msgspec", _price_struct_json, None, Direction.AT_MOST),
        )
    ),
    *_against(
        "bytes to a row for COPY: a price",
        _copy_row,
        _made_of(_price_rows, _wire),
        _Rival(
            name=f"{_PYDANTIC_BACK}, as a tuple",
            work=lambda data: tuple(Price.model_validate_json(data).model_dump().values()),
            inputs=_made_of(_price_rows, _price_json),
            goal=1,
            note="ours has checked every rule and is encoded; the tuple is still to be",
        ),
        _msgspec(
            lambda data: msgspec.structs.astuple(_PRICE_DECODER.decode(data)),
            _made_of(_price_rows, _price_struct_json),
            ", as a tuple",
        ),
    ),
    *_against(
        "bytes to a dict of columns: a price",
        _values,
        _made_of(_price_rows, _wire),
        _Rival(
            name=_PYDANTIC_BACK,
            work=lambda data: Price.model_validate_json(data).model_dump(),
            inputs=_made_of(_price_rows, _price_json),
            goal=1.25,
            note="ours has checked every rule",
        ),
        _msgspec(
            _PRICE_DECODER.decode,
            _made_of(_price_rows, _price_struct_json),
            ", a struct and no dict",
        ),
    ),
    *_against(
        "purchase of 20 items to bytes",
        to_bytes,
        _purchase_rows,
        _Rival(
            name=_PYDANTIC,
            work=_purchase_json,
            goal=3,
            direction=_FASTER,
            rounds=35,
            note="rows are new in each round: a Decimal that was looked at before knows its hash",
        ),
        _msgspec(_purchase_struct_json),
    ),
    *_against(
        "bytes to a purchase of 20 items, as dicts",
        _purchase_values,
        _made_of(_purchase_rows, _wire),
        _Rival(
            name=_PYDANTIC_BACK,
            work=lambda data: Purchase.model_validate_json(data).model_dump(),
            inputs=_made_of(_purchase_rows, _purchase_json),
            goal=1.1,
            direction=_FASTER,
            rounds=35,
            note="ours has checked every rule of the purchase and of its items, Pydantic types;"
            " parsing and reading into dicts alone, nothing checked or converted, was measured"
            " at 2.2 times as fast",
        ),
        _msgspec(
            _PURCHASE_DECODER.decode,
            _made_of(_purchase_rows, _purchase_struct_json),
            ", structs and no dicts",
        ),
    ),
)
