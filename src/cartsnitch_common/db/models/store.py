"""Stores and their locations: reference data, written by the API gateway."""

from __future__ import annotations

import uuid

from sqlalchemy import CheckConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import Service, StoreSlug
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    CreatedAt,
    Id,
    contract_text,
    enum_column,
    foreign_key,
    matches,
    not_empty,
    real_times,
    together,
)
from cartsnitch_common.db.owners import Share


class Store(Base):
    """A retailer, with all its locations."""

    __tablename__ = "stores"
    __table_args__ = (
        UniqueConstraint("slug"),
        *not_empty("name"),
        matches("logo_url", "Store.logo_url"),
        matches("website_url", "Store.website_url"),
        *real_times("created_at"),
        {
            "comment": "Retailers; one row a slug.",
            "info": {"owner": Service.API, "shared": [Share("SELECT")]},
        },
    )

    id: Mapped[Id]
    name: Mapped[str] = contract_text("Store.name", comment="As people know it.")
    slug: Mapped[StoreSlug] = enum_column(
        StoreSlug, name="slug", comment="The retailer in the contract."
    )
    logo_url: Mapped[str | None] = contract_text(
        "Store.logo_url", comment="NULL when there is none."
    )
    website_url: Mapped[str | None] = contract_text(
        "Store.website_url", comment="NULL when there is none."
    )
    created_at: Mapped[CreatedAt]


class StoreLocation(Base):
    """One physical shop of a store."""

    __tablename__ = "store_locations"
    __table_args__ = (
        # Also the index for the foreign key.
        UniqueConstraint("store_id", "address", "zip"),
        *not_empty("address", "city"),
        matches("state", "StoreLocation.state"),
        matches("zip", "StoreLocation.zip"),
        CheckConstraint("lat BETWEEN -90 AND 90", name="lat_range"),
        CheckConstraint("lng BETWEEN -180 AND 180", name="lng_range"),
        together("coordinates_together", "lat", "lng"),
        {
            "comment": "Physical shops of the stores.",
            "info": {"owner": Service.API, "shared": [Share("SELECT")]},
        },
    )

    id: Mapped[Id]
    store_id: Mapped[uuid.UUID] = foreign_key("stores.id", on_delete="RESTRICT")
    address: Mapped[str] = contract_text("StoreLocation.address", comment="Street and number.")
    city: Mapped[str] = contract_text("StoreLocation.city", comment="The city alone.")
    state: Mapped[str] = contract_text("StoreLocation.state", comment="USPS code, upper case.")
    zip: Mapped[str] = contract_text("StoreLocation.zip", comment="ZIP or ZIP+4 code.")
    lat: Mapped[float | None] = mapped_column(comment="Degrees north, WGS 84.")
    lng: Mapped[float | None] = mapped_column(comment="Degrees east, WGS 84.")
