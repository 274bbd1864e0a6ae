"""Who owns a table, and who else works on it: stands in each model's ``info``.

``__table_args__ = ({"comment": ..., "info": {"owner": Service.API}},)`` gives the
owner SELECT, INSERT, UPDATE and DELETE and everybody else nothing. Beside it,
``"privileges": ("SELECT",)`` says that the owner has less, and
``"shared": [Share(...)]`` that others have some as well.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from cartsnitch_common.constants import PUBLISHERS, Service


class Program(StrEnum):
    """A part of this package that works on tables as a service does."""

    RELAY = "relay"
    """The relay: moves events from the outbox to the log, and keeps the event tables."""

    REPLAY = "replay"
    """A consumer that replays the log by itself: reads relayed events, of every service.

    An operator gives it to a login of a service beside the service's own role; or does
    not, and replays as the relay with ``cartsnitch events replay``.
    """


EVERY_SERVICE: Final = tuple(Service)

EVERY_PUBLISHER: Final = tuple(
    service for service in Service if any(service in some for some in PUBLISHERS.values())
)
"""The services that publish an event of the contract."""


class Share(NamedTuple):
    """A right on a table for others than its owner."""

    privilege: str
    """Such as ``SELECT``."""

    services: tuple[Service | Program, ...] = EVERY_SERVICE
    """Who gets it."""

    columns: tuple[str, ...] = ()
    """On which columns; empty for the whole table."""


FUNCTIONS: Final = (
    "current_prices_after_delete",
    "current_prices_after_truncate",
    "current_prices_after_update",
    "current_prices_refresh",
    "current_prices_upsert",
    "event_log_keep",
    "product_name_tokens",
    "product_names_after_insert",
    "product_names_after_update",
    "products_by_name",
    "record_purchase",
)
"""The functions of the migrations, which belong to the schema's owner as the tables do."""

CALLERS: Final = {"event_log_keep": Program.RELAY}
"""Who may call a function of the migrations that not everybody may call."""
