"""What the demonstration found, as values: for the tables and for ``--json``."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cartsnitch_common.contract import to_json_value

if TYPE_CHECKING:
    import uuid

    from cartsnitch.event.v1 import PriceIncreaseDetected, ShrinkflationDetected
    from cartsnitch_common.cli.demo.ingest import Recorded
    from cartsnitch_common.cli.demo.receipts import ReceiptFile
    from cartsnitch_common.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """What the demonstration ran on.

    Attributes:
        postgres: The version of the database server.
        redis: The product and version of the Redis server.
        embedded: Whether this command started them.
    """

    postgres: str
    redis: str
    embedded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiptResult:
    """What became of one receipt file."""

    file: ReceiptFile
    recorded: Recorded

    @property
    def status(self) -> str:
        """``recorded`` or ``already recorded``."""
        return "recorded" if self.recorded.is_new else "already recorded"

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        purchase = self.file.receipt.purchase
        return {
            "file": self.file.name,
            "store": self.file.slug.value,
            "receipt_id": purchase.receipt_id,
            "purchase_id": str(self.recorded.purchase_id),
            "status": self.status,
            "items": self.recorded.items,
            "matched": self.recorded.matched,
            "total": to_json_value(purchase.total),
        }


@dataclass(slots=True, kw_only=True)
class EventTrace:
    """One event, and when each receiver had it.

    Attributes:
        event_type: Its type, which is its channel.
        service: Who published it.
        key: What it is about.
        latencies: Receiver to time since publishing. Unit: milliseconds.
    """

    event_type: str
    service: str
    key: str
    latencies: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "event_type": self.event_type,
            "service": self.service,
            "key": self.key,
            "latency_ms": {name: round(value, 1) for name, value in self.latencies.items()},
        }


@dataclass(slots=True)
class Trace:
    """Every event of a run."""

    events: dict[uuid.UUID, EventTrace] = field(default_factory=dict)

    def received(self, receiver: str, event: Event[Any]) -> None:
        """Note that a receiver has an event now; only its first delivery counts."""
        seen = self.events.setdefault(
            event.event_id,
            EventTrace(event_type=event.type, service=event.service, key=event.key),
        )
        elapsed = dt.datetime.now(dt.UTC) - event.timestamp
        seen.latencies.setdefault(receiver, elapsed / dt.timedelta(milliseconds=1))

    def in_order(self) -> list[EventTrace]:
        """The events in the order in which they were published: their ids ascend with time."""
        return [self.events[event_id] for event_id in sorted(self.events)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """Everything that the demonstration shows.

    Attributes:
        servers: What it ran on.
        receipts: What became of each receipt, in order.
        rows: Table to the number of rows that this run added.
        events: Every event that was received.
        increases: The price increases that the API gateway was told of.
        shrinkflation: The shrinkflation that it was told of.
    """

    servers: ServerInfo
    receipts: list[ReceiptResult]
    rows: dict[str, int]
    events: list[EventTrace]
    increases: list[PriceIncreaseDetected]
    shrinkflation: list[ShrinkflationDetected]

    def to_json(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "servers": {
                "postgres": self.servers.postgres,
                "redis": self.servers.redis,
                "embedded": self.servers.embedded,
            },
            "receipts": [receipt.to_json() for receipt in self.receipts],
            "rows": self.rows,
            "events": [event.to_json() for event in self.events],
            "price_increases": [to_json_value(item) for item in self.increases],
            "shrinkflation": [to_json_value(item) for item in self.shrinkflation],
        }
