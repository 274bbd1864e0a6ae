"""The tables under the event bus: outbox, event log, inbox, dead letters."""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import (
    DDL,
    BigInteger,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    UniqueConstraint,
    event,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import Id, contract_text
from cartsnitch_common.db.owners import EVERY_PUBLISHER, Program, Share

CONSUMER = "The service that it is for."
EVENT_ID = "The id of its envelope."
EVENT_TYPE = "The name of its channel."
KEY = "Events of one key stay in order."
WRITTEN = "When it was written to the outbox."

OUTBOX_PARTITION = "(hashtext(event_type || key) & 63)"
"""The partition of a row of the outbox, from 0 to 63: what one relay at a time works on.

The database computes it, in an index, so that it is the same for producers of every
version and language."""


class OutboxEvent(Base):
    """An event that is committed and not yet on Redis."""

    __tablename__ = "event_outbox"
    __table_args__ = (
        Index("ix_event_outbox_partition_id", text(OUTBOX_PARTITION), "id"),
        {
            "comment": "Events to relay, in the order of their ids within a key.",
            "info": {
                "owner": Program.RELAY,
                "shared": [Share("INSERT", services=EVERY_PUBLISHER)],
            },
        },
    )

    id: Mapped[int] = mapped_column(
        BigInteger, Identity(always=True), primary_key=True, comment="Ascending within a key."
    )
    event_id: Mapped[uuid.UUID] = mapped_column(comment=EVENT_ID)
    event_type: Mapped[str] = contract_text("Envelope.event_type", comment=EVENT_TYPE)
    key: Mapped[str] = contract_text("Envelope.key", comment=KEY)
    envelope: Mapped[bytes] = mapped_column(LargeBinary, comment="cartsnitch.event.v1.Envelope")
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now(), comment=WRITTEN)


# The table is emptied all day: without this, dead tuples slow every read. As DDL,
# because SQLAlchemy 2.0 knows no storage parameters of tables.
event.listen(
    OutboxEvent.__table__,
    "after_create",
    DDL(  # type: ignore[no-untyped-call] # SQLAlchemy has not annotated it
        "ALTER TABLE event_outbox SET"
        " (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"
    ),
)


class LoggedEvent(Base):
    """An event that was relayed, kept so that it can be replayed.

    A partition holds a day. The function ``event_log_keep``, which stands in the
    migrations, makes them and drops them.
    """

    __tablename__ = "event_log"
    __table_args__ = (
        PrimaryKeyConstraint("relayed_at", "id"),
        Index(None, "event_type", "id"),
        {
            "comment": "Relayed events, kept for replay.",
            "info": {
                "owner": Program.RELAY,
                "shared": [Share("SELECT", services=(Program.REPLAY,))],
            },
            "postgresql_partition_by": "RANGE (relayed_at)",
        },
    )

    id: Mapped[int] = mapped_column(BigInteger, autoincrement=False, comment="The outbox's id.")
    event_id: Mapped[uuid.UUID] = mapped_column(comment=EVENT_ID)
    event_type: Mapped[str] = contract_text("Envelope.event_type", comment=EVENT_TYPE)
    key: Mapped[str] = contract_text("Envelope.key", comment=KEY)
    envelope: Mapped[bytes] = mapped_column(LargeBinary, comment="cartsnitch.event.v1.Envelope")
    created_at: Mapped[dt.datetime] = mapped_column(comment=WRITTEN)
    relayed_at: Mapped[dt.datetime] = mapped_column(
        server_default=func.now(), comment="When it was put on Redis."
    )


class InboxEvent(Base):
    """A mark that a consumer's effect of an event is committed."""

    __tablename__ = "event_inbox"
    __table_args__ = (
        Index(None, "handled_at"),
        {
            "comment": "Which consumer has handled which event; written with the effect.",
            "info": {"owner": Program.RELAY, "shared": [Share("SELECT"), Share("INSERT")]},
        },
    )

    consumer: Mapped[str] = contract_text("Envelope.service", primary_key=True, comment=CONSUMER)
    event_id: Mapped[uuid.UUID] = mapped_column(primary_key=True, comment=EVENT_ID)
    handled_at: Mapped[dt.datetime] = mapped_column(
        server_default=func.now(), comment="When the effect was written."
    )


class DeadLetter(Base):
    """An event that a consumer gave up on, with its reason."""

    __tablename__ = "event_dead_letters"
    __table_args__ = (
        UniqueConstraint("consumer", "stream", "entry_id"),
        {
            "comment": "Events that a consumer gave up on.",
            "info": {
                "owner": Program.RELAY,
                # The id is what an INSERT returns; envelopes may be of other services.
                "shared": [Share("INSERT"), Share("SELECT", columns=("id",))],
            },
        },
    )

    id: Mapped[Id]
    consumer: Mapped[str] = contract_text("Envelope.service", comment=CONSUMER)
    stream: Mapped[str] = mapped_column(comment="The Redis stream it was read from.")
    entry_id: Mapped[str] = mapped_column(comment="Its id in the stream.")
    envelope: Mapped[bytes] = mapped_column(LargeBinary, comment="As read; it may not decode.")
    reason: Mapped[str] = mapped_column(comment="The error's class and message; no payload.")
    deliveries: Mapped[int] = mapped_column(
        server_default=text("1"), comment="How often it was tried."
    )
    failed_at: Mapped[dt.datetime] = mapped_column(
        server_default=func.now(), comment="When it was given up."
    )
