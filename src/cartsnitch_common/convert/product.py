"""Normalized products as messages, and back."""

from __future__ import annotations

from typing import Final

from cartsnitch.catalog.v1 import NormalizedProduct
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models

NORMALIZED_PRODUCT: Final = Mapping(
    row=models.NormalizedProduct,
    message=NormalizedProduct,
    renamed={"created_at": "create_time", "updated_at": "update_time"},
)
