"""Receipt files, and the small world in which the sample receipts were printed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from cartsnitch.account.v1 import User
from cartsnitch.catalog.v1 import NormalizedProduct, StoreLocation
from cartsnitch.catalog.v1 import StoreSlug as StoreNumber
from cartsnitch.purchase.v1 import Receipt
from cartsnitch_common.constants import StoreSlug
from cartsnitch_common.contract import check, from_json, from_json_value
from cartsnitch_common.convert import from_message
from cartsnitch_common.db import models
from cartsnitch_common.errors import InputError
from cartsnitch_common.values.ids import new_uuid

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from sqlalchemy.ext.asyncio import AsyncSession

_WORLD = "world.json"
_LARGEST = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptFile:
    """A receipt with the name of the file that it came from."""

    name: str
    receipt: Receipt

    @property
    def slug(self) -> StoreSlug:
        """The retailer."""
        return slug_of(self.receipt.store)


class ReceiptFileError(InputError):
    """a receipt file is refused.

    Attributes:
        file: The file's name, as it was given.
    """

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file


def slug_of(store: StoreNumber.ValueType) -> StoreSlug:
    """A retailer's number in the contract as its slug."""
    return StoreSlug(StoreNumber.Name(store).removeprefix("STORE_SLUG_").lower())


def sample_receipts() -> list[ReceiptFile]:
    """The receipts that come with the package, in the order of their dates."""
    names = sorted(path.name for path in _samples().iterdir() if path.name != _WORLD)
    return [
        _parse(name, _samples().joinpath(name).read_bytes())
        for name in names
        if name.endswith(".json")
    ]


def read_receipt(path: Path) -> ReceiptFile:
    """Read and check one receipt file.

    Raises:
        ReceiptFileError: It cannot be read, is not JSON, or a field is wrong;
            names the file and the field.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ReceiptFileError(str(path), reason) from None
    if len(text) > _LARGEST:
        raise ReceiptFileError(str(path), f"is larger than {_LARGEST} bytes")
    return _parse(str(path), text)


def _parse(name: str, text: bytes) -> ReceiptFile:
    try:
        receipt = from_json(Receipt, text)
        check(receipt, json_names=True)
    except InputError as error:
        raise ReceiptFileError(name, str(error)) from None
    return ReceiptFile(name=name, receipt=receipt)


def _samples() -> Traversable:
    return files("cartsnitch_common.cli.demo").joinpath("samples")


# -- the world that the samples need -------------------------------------------


async def write_world(session: AsyncSession, receipts: list[ReceiptFile]) -> None:
    """Write the user, locations and products of the samples, and further users.

    Leaves alone what is there. The stores must be there: ``seed`` writes them.
    """
    world = json.loads(_samples().joinpath(_WORLD).read_text())
    stores = {store.slug: store for store in await session.scalars(select(models.Store))}
    rows: list[models.Base] = [from_message(from_json_value(User, world["user"]))]
    known = {world["user"]["id"]}
    for file in receipts:
        # The API gateway, which owns users, would know them.
        user_id = file.receipt.purchase.user_id
        if user_id not in known:
            known.add(user_id)
            rows.append(models.User(id=user_id, email=f"{new_uuid()}@demo.invalid"))
    for entry in world["locations"]:
        message = from_json_value(StoreLocation, entry["location"])
        message.store_id = str(stores[StoreSlug(entry["store"])].id)
        rows.append(from_message(message))
    rows += [from_message(from_json_value(NormalizedProduct, item)) for item in world["products"]]
    for row in rows:
        await session.execute(insert(type(row)).values(_set_values(row)).on_conflict_do_nothing())


def _set_values(row: models.Base) -> dict[str, Any]:
    """What is set of a row; the database's defaults fill in the rest."""
    return {
        column.key: row.__dict__[column.key]
        for column in row.__table__.columns
        if column.key in row.__dict__
    }
