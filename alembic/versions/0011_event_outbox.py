"""Make the outbox of events and the log of relayed ones.

What: the tables event_outbox and event_log.
Why: an event leaves with the transaction that it tells of, and can be replayed.
Phase: expand.
The previous code sees: two tables that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_event_outbox"
down_revision = "0010_shrinkflation_events"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "event_outbox",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.String(128), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column(
            "envelope", sa.LargeBinary(), nullable=False, comment="cartsnitch.event.v1.Envelope"
        ),
        sa.Column("created_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_outbox")),
        comment="Events to relay, in the order of their ids within a key.",
    )
    # The table is emptied all day: without this, dead tuples slow every read.
    op.execute(
        "ALTER TABLE event_outbox SET"
        " (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)"
    )
    op.create_table(
        "event_log",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="The outbox's id."
        ),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("event_type", sa.String(128), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column(
            "envelope", sa.LargeBinary(), nullable=False, comment="cartsnitch.event.v1.Envelope"
        ),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("relayed_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
        comment="Relayed events, kept for replay.",
    )
    op.create_index(op.f("ix_event_log_relayed_at"), "event_log", ["relayed_at"])


def downgrade() -> None:
    op.drop_table("event_log")
    op.drop_table("event_outbox")
