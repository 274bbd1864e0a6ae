"""Make the users' accounts at stores.

What: the table user_store_accounts.
Why: receipts are read from the accounts that users connect.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_user_store_accounts"
down_revision = "0003_users"

INSTANT = sa.DateTime(timezone=True)
# The colons are escaped: a bound parameter would begin with one.
FIRST = r"'0001-01-01 00\:00\:00+00'"
LAST = r"'9999-12-31 23\:59\:59.999999+00'"


def upgrade() -> None:
    op.create_table(
        "user_store_accounts",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column(
            "session_data",
            sa.LargeBinary(),
            comment="The retailer's session, encrypted. Read by ReceiptWitness only.",
        ),
        sa.Column("session_expires_at", INSTANT),
        sa.Column("last_sync_at", INSTANT),
        sa.Column("status", sa.String(16), server_default="expired", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user_store_accounts")),
        sa.UniqueConstraint(
            "user_id", "store_id", name=op.f("uq_user_store_accounts_user_id_store_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_user_store_accounts_user_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["store_id"],
            ["stores.id"],
            name=op.f("fk_user_store_accounts_store_id"),
            ondelete="RESTRICT",
        ),
        sa.CheckConstraint(
            "status IN ('active', 'expired', 'error')", name=op.f("ck_user_store_accounts_status")
        ),
        sa.CheckConstraint(
            f"session_expires_at BETWEEN {FIRST} AND {LAST}",
            name=op.f("ck_user_store_accounts_session_expires_at_range"),
        ),
        sa.CheckConstraint(
            f"last_sync_at BETWEEN {FIRST} AND {LAST}",
            name=op.f("ck_user_store_accounts_last_sync_at_range"),
        ),
        comment="Connected retailer accounts; one a user and store.",
    )
    op.create_index(op.f("ix_user_store_accounts_store_id"), "user_store_accounts", ["store_id"])


def downgrade() -> None:
    op.drop_table("user_store_accounts")
