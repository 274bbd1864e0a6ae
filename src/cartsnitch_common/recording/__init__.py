"""A purchase recorded: once, with its prices and its events, in the caller's transaction.

async with sessions.begin() as session:
    recorded = await record_purchase(session, purchase)

Nothing is committed here. Record one purchase a transaction: two transactions that each
record several may wait for each other in a circle, until PostgreSQL ends one of them.

The only layer that knows rows, messages and events at once.
"""

from __future__ import annotations

from cartsnitch_common.recording.events import Match
from cartsnitch_common.recording.prices import PriceDelta
from cartsnitch_common.recording.purchase import RecordedPurchase, record_purchase

__all__ = ["Match", "PriceDelta", "RecordedPurchase", "record_purchase"]
