"""Make the users.

What: the table users, with one e-mail address a user whatever its case.
Why: receipts belong to people with an account.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_users"
down_revision = "0002_store_locations"

INSTANT = sa.DateTime(timezone=True)
# The colons are escaped: a bound parameter would begin with one.
FIRST = r"'0001-01-01 00\:00\:00+00'"
LAST = r"'9999-12-31 23\:59\:59.999999+00'"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column(
            "id", sa.String(64), server_default=sa.text("(gen_random_uuid())::text"), nullable=False
        ),
        sa.Column(
            "email", sa.String(254), nullable=False, comment="Unique without regard to case."
        ),
        sa.Column(
            "hashed_password",
            sa.Text(),
            comment="NULL when an auth server keeps the password. Never leaves this table.",
        ),
        sa.Column("display_name", sa.String(128)),
        sa.Column("created_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", INSTANT, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.CheckConstraint("id <> ''", name=op.f("ck_users_id_not_empty")),
        sa.CheckConstraint("display_name <> ''", name=op.f("ck_users_display_name_not_empty")),
        sa.CheckConstraint(
            r"email ~ '^[a-zA-Z0-9.!#-\x27*+/=?^-~-]+@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
            r"(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$'",
            name=op.f("ck_users_email_format"),
        ),
        sa.CheckConstraint(
            f"created_at BETWEEN {FIRST} AND {LAST}", name=op.f("ck_users_created_at_range")
        ),
        sa.CheckConstraint(
            f"updated_at BETWEEN {FIRST} AND {LAST}", name=op.f("ck_users_updated_at_range")
        ),
        comment="People with an account. The id is opaque: an auth server may mint it.",
    )
    op.create_index(op.f("uq_users_email"), "users", [sa.text("lower(email)")], unique=True)


def downgrade() -> None:
    op.drop_table("users")
