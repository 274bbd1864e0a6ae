"""Stores and their locations as messages, and back."""

from __future__ import annotations

from typing import Final

from cartsnitch.catalog.v1 import Store, StoreLocation
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models

STORE: Final = Mapping(row=models.Store, message=Store, renamed={"created_at": "create_time"})
STORE_LOCATION: Final = Mapping(row=models.StoreLocation, message=StoreLocation)
