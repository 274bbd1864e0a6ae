"""Price observations as messages, and back."""

from __future__ import annotations

from typing import Final

from cartsnitch.pricing.v1 import PriceObservation
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models

PRICE_OBSERVATION: Final = Mapping(row=models.PriceHistory, message=PriceObservation)
