"""Shrinkflation findings as messages, and back."""

from __future__ import annotations

from typing import Final

from cartsnitch.shrinkflation.v1 import ShrinkflationEvent
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models

SHRINKFLATION_EVENT: Final = Mapping(row=models.ShrinkflationEvent, message=ShrinkflationEvent)
