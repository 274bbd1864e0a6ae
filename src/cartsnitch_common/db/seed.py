"""The rows that every installation begins with: the three retailers."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects.postgresql import insert

from cartsnitch_common.constants import StoreSlug
from cartsnitch_common.db.models import Store

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedStore:
    """A retailer as it is first written."""

    id: uuid.UUID
    """The same in every installation: the UUIDv5 of the website's URL when this was written."""

    slug: StoreSlug
    """What other code knows it by."""

    name: str
    """As people read it."""

    website_url: str
    """Where it is on the web."""


STORES: Final = (
    SeedStore(
        id=uuid.UUID("f3bb270d-e55f-5e42-b4cb-bff6f13136a7"),
        slug=StoreSlug.MEIJER,
        name="Meijer",
        website_url="https://www.meijer.com",
    ),
    SeedStore(
        id=uuid.UUID("99886682-ab8c-5b75-a2cb-6e63ecece1b1"),
        slug=StoreSlug.KROGER,
        name="Kroger",
        website_url="https://www.kroger.com",
    ),
    SeedStore(
        id=uuid.UUID("ad493982-6378-5983-bb83-7887d452614d"),
        slug=StoreSlug.TARGET,
        name="Target",
        website_url="https://www.target.com",
    ),
)
"""The retailers that the contract knows."""


def seed_stores(session: Session) -> tuple[StoreSlug, ...]:
    """Write the stores that are missing, in the caller's transaction.

    A store that is there stays as it is, whatever its name and id: the API
    gateway owns it.

    Returns:
        The slugs of those that were written.
    """
    values = [
        {"id": store.id, "slug": store.slug, "name": store.name, "website_url": store.website_url}
        for store in STORES
    ]
    written = insert(Store).values(values).on_conflict_do_nothing().returning(Store.slug)
    return tuple(session.scalars(written))
