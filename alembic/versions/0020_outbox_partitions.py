"""Index the outbox by partitions of its keys.

What: an index on event_outbox of 64 partitions, each by id.
Why: several relays share the outbox: each takes some partitions and reads them in order.
The partition is computed by the index, so that it is right for producers of every version
and language, and no row is rewritten.
Phase: expand.
The previous code sees: what it saw.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020_outbox_partitions"
down_revision = "0019_column_comments"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_event_outbox_partition_id",
            "event_outbox",
            [sa.text("(hashtext(event_type || key) & 63)"), "id"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "ix_event_outbox_partition_id",
            "event_outbox",
            postgresql_concurrently=True,
            if_exists=True,
        )
