"""Make the stores' locations.

What: the table store_locations.
Why: a receipt names the shop where it was printed.
Phase: expand.
The previous code sees: a table that it does not know.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_store_locations"
down_revision = "0001_stores"


def upgrade() -> None:
    op.create_table(
        "store_locations",
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("store_id", sa.Uuid(), nullable=False),
        sa.Column("address", sa.String(255), nullable=False),
        sa.Column("city", sa.String(128), nullable=False),
        sa.Column("state", sa.String(2), nullable=False, comment="USPS code, upper case."),
        sa.Column("zip", sa.String(10), nullable=False),
        sa.Column("lat", sa.Double()),
        sa.Column("lng", sa.Double()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_locations")),
        # Also the index for the foreign key.
        sa.UniqueConstraint(
            "store_id", "address", "zip", name=op.f("uq_store_locations_store_id_address_zip")
        ),
        sa.ForeignKeyConstraint(
            ["store_id"],
            ["stores.id"],
            name=op.f("fk_store_locations_store_id"),
            ondelete="RESTRICT",
        ),
        sa.CheckConstraint("address <> ''", name=op.f("ck_store_locations_address_not_empty")),
        sa.CheckConstraint("city <> ''", name=op.f("ck_store_locations_city_not_empty")),
        sa.CheckConstraint("state ~ '^[A-Z]{2}$'", name=op.f("ck_store_locations_state_format")),
        sa.CheckConstraint(
            "zip ~ '^[0-9]{5}(-[0-9]{4})?$'", name=op.f("ck_store_locations_zip_format")
        ),
        sa.CheckConstraint("lat BETWEEN -90 AND 90", name=op.f("ck_store_locations_lat_range")),
        sa.CheckConstraint("lng BETWEEN -180 AND 180", name=op.f("ck_store_locations_lng_range")),
        sa.CheckConstraint(
            "(lat IS NULL) = (lng IS NULL)", name=op.f("ck_store_locations_coordinates_together")
        ),
        comment="Physical shops of the stores.",
    )


def downgrade() -> None:
    op.drop_table("store_locations")
