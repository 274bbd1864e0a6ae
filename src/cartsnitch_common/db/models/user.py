"""Users, owned by the API gateway, and their store accounts, by ReceiptWitness."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Final

from sqlalchemy import CheckConstraint, Index, LargeBinary, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import AccountStatus, Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import (
    CreatedAt,
    Id,
    UpdatedAt,
    contract_text,
    enum_column,
    foreign_key,
    not_empty,
    real_times,
)
from cartsnitch_common.values.ids import new_uuid

# What the rule string.email of buf.validate accepts: the HTML standard's "valid e-mail
# address". #-\x27 and ^-~ are ranges of ASCII that hold neither a quote nor a percent sign
# to escape.
_LABEL: Final = "[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL: Final = rf"^[a-zA-Z0-9.!#-\x27*+/=?^-~-]+@{_LABEL}(\.{_LABEL})*$"


def _new_user_id() -> str:
    return str(new_uuid())


class User(Base):
    """A person with an account."""

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_email", func.lower(text("email")), unique=True),
        *not_empty("id", "display_name"),
        CheckConstraint(text(f"email ~ '{_EMAIL}'"), name="email_format"),
        *real_times("created_at", "updated_at"),
        {
            "comment": "People with an account. The id is opaque: an auth server may mint it.",
            "info": {"owner": Service.API},
        },
    )

    id: Mapped[str] = contract_text(
        "User.id",
        primary_key=True,
        default=_new_user_id,
        server_default=text("(gen_random_uuid())::text"),
        comment="Opaque: an auth server may mint it.",
    )
    email: Mapped[str] = contract_text("User.email", comment="Unique without regard to case.")
    hashed_password: Mapped[str | None] = mapped_column(
        comment="NULL when an auth server keeps the password. Never leaves this table."
    )
    display_name: Mapped[str | None] = contract_text(
        "User.display_name", comment="What the user wants to be called; NULL until given."
    )
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[UpdatedAt]


class UserStoreAccount(Base):
    """A user's account at a store, connected so that its receipts can be read."""

    __tablename__ = "user_store_accounts"
    __table_args__ = (
        UniqueConstraint("user_id", "store_id"),
        Index(None, "store_id"),
        *real_times("session_expires_at", "last_sync_at"),
        {
            "comment": "Connected retailer accounts; one a user and store.",
            "info": {"owner": Service.RECEIPTWITNESS},
        },
    )

    id: Mapped[Id]
    user_id: Mapped[str] = foreign_key("users.id", on_delete="CASCADE")
    store_id: Mapped[uuid.UUID] = foreign_key("stores.id", on_delete="RESTRICT")
    session_data: Mapped[bytes | None] = mapped_column(
        LargeBinary,
        deferred=True,
        comment="The retailer's session, encrypted. Read by ReceiptWitness only.",
    )
    session_expires_at: Mapped[dt.datetime | None] = mapped_column(
        comment="When the retailer ends the session; NULL when it does not say."
    )
    last_sync_at: Mapped[dt.datetime | None] = mapped_column(
        comment="When receipts were last read; NULL before the first time."
    )
    status: Mapped[AccountStatus] = enum_column(
        AccountStatus,
        name="status",
        # Without a session there is nothing to read with.
        default=AccountStatus.EXPIRED,
        server_default=AccountStatus.EXPIRED.value,
        comment="Whether receipts can be read now.",
    )
