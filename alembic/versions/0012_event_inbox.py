"""Make the inbox of handled events and the dead letters.

What: the tables event_inbox and event_dead_letters.
Why: a consumer's effect happens once, and an event it gave up on is not lost.
Phase: expand.
The previous code sees: two tables that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_event_inbox"
down_revision = "0011_event_outbox"

INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "event_inbox",
        sa.Column("consumer", sa.String(64), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("handled_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "event_id", name=op.f("pk_event_inbox")),
        comment="Which consumer has handled which event; written with the effect.",
    )
    op.create_index(op.f("ix_event_inbox_handled_at"), "event_inbox", ["handled_at"])
    op.create_table(
        "event_dead_letters",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("consumer", sa.String(64), nullable=False),
        sa.Column(
            "stream", sa.Text(), nullable=False, comment="The Redis stream it was read from."
        ),
        sa.Column("entry_id", sa.Text(), nullable=False, comment="Its id in the stream."),
        sa.Column(
            "envelope", sa.LargeBinary(), nullable=False, comment="As read; it may not decode."
        ),
        sa.Column(
            "reason",
            sa.Text(),
            nullable=False,
            comment="The error's class and message; no payload.",
        ),
        sa.Column("deliveries", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("failed_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_dead_letters")),
        sa.UniqueConstraint(
            "consumer",
            "stream",
            "entry_id",
            name=op.f("uq_event_dead_letters_consumer_stream_entry_id"),
        ),
        comment="Events that a consumer gave up on.",
    )


def downgrade() -> None:
    op.drop_table("event_dead_letters")
    op.drop_table("event_inbox")
