"""The current price of each product at each store, owned by ReceiptWitness.

No program writes this table: triggers of ``price_history`` keep it, for writers in
every language; they stand in the migrations. They are statement-level, so that a
COPY of many rows is one upsert, and run as their owner, so that a program that
deletes a user needs no right on prices.
"""

from __future__ import annotations

import datetime as dt
import uuid

from sqlalchemy import DDL, event
from sqlalchemy.orm import Mapped, mapped_column

from cartsnitch_common.constants import PriceSource, Service
from cartsnitch_common.db.base import Base
from cartsnitch_common.db.columns import UnitPrice, enum_column
from cartsnitch_common.db.models.price import OBSERVED_DATE, PURCHASE_ITEM, SOURCE


class CurrentPrice(Base):
    """The latest observation of a product at a store in event time, copied.

    The latest is that of the greatest ``(observed_date, id)``: an old receipt that is
    read late replaces nothing. It has the columns of ``PriceHistory``, so that
    ``aliased(PriceHistory, CurrentPrice.__table__, adapt_on_names=True)`` reads it
    as observations.
    """

    # No foreign keys: its rows are copies of rows that have them, and a key would cost each
    # new series a look-up and each product an index.
    __tablename__ = "current_prices"
    __table_args__ = (
        {
            "comment": "The latest price by event time; kept by triggers of price_history.",
            "info": {"owner": Service.RECEIPTWITNESS, "privileges": ("SELECT",)},
        },
    )

    store_id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, comment="The key of a row of stores."
    )
    normalized_product_id: Mapped[uuid.UUID] = mapped_column(
        primary_key=True, comment="The key of a row of normalized_products."
    )
    id: Mapped[uuid.UUID] = mapped_column(comment="The observation's id in price_history.")
    observed_date: Mapped[dt.date] = mapped_column(comment=OBSERVED_DATE)
    regular_price: Mapped[UnitPrice]
    sale_price: Mapped[UnitPrice | None]
    loyalty_price: Mapped[UnitPrice | None]
    coupon_price: Mapped[UnitPrice | None]
    source: Mapped[PriceSource] = enum_column(PriceSource, name="source", comment=SOURCE)
    purchase_item_id: Mapped[uuid.UUID | None] = mapped_column(comment=PURCHASE_ITEM)


# Free space in each page: a price that is replaced stays in it and touches no index. As DDL,
# because SQLAlchemy 2.0 knows no storage parameters of tables.
event.listen(
    CurrentPrice.__table__,
    "after_create",
    DDL("ALTER TABLE current_prices SET (fillfactor = 70)"),  # type: ignore[no-untyped-call] # SQLAlchemy has not annotated it
)
