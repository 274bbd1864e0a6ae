"""Coupons as messages, and back."""

from __future__ import annotations

from typing import Final

from cartsnitch.coupon.v1 import Coupon
from cartsnitch_common.convert.mapping import Mapping
from cartsnitch_common.db import models

COUPON: Final = Mapping(row=models.Coupon, message=Coupon, renamed={"scraped_at": "scrape_time"})
