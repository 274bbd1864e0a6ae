"""Say what the columns hold.

What: comments on columns whose unit or meaning their name does not tell.
Why: who reads the tables with another program reads them there.
Phase: expand.
The previous code sees: what it saw.
"""

from __future__ import annotations

from alembic import op

revision = "0019_column_comments"
down_revision = "0018_product_codes_at_once"

COMMENTS = {
    "US dollars that must be spent for it.": [
        "coupons.min_purchase",
    ],
    "Whether it counts only after the customer has activated it.": [
        "coupons.requires_clip",
    ],
    "When it was last seen at the store.": [
        "coupons.scraped_at",
    ],
    "US dollars a piece or pound.": [
        "current_prices.regular_price",
        "current_prices.sale_price",
        "current_prices.loyalty_price",
        "current_prices.coupon_price",
        "price_history.regular_price",
        "price_history.sale_price",
        "price_history.loyalty_price",
        "price_history.coupon_price",
        "purchase_items.unit_price",
        "purchase_items.regular_price",
        "purchase_items.sale_price",
    ],
    "The id of its envelope.": [
        "event_outbox.event_id",
        "event_log.event_id",
        "event_inbox.event_id",
    ],
    "The name of its channel.": [
        "event_outbox.event_type",
        "event_log.event_type",
    ],
    "Events of one key stay in order.": [
        "event_outbox.key",
        "event_log.key",
    ],
    "When it was written to the outbox.": [
        "event_outbox.created_at",
        "event_log.created_at",
    ],
    "When it was put on Redis.": [
        "event_log.relayed_at",
    ],
    "The service that it is for.": [
        "event_inbox.consumer",
        "event_dead_letters.consumer",
    ],
    "When the effect was written.": [
        "event_inbox.handled_at",
    ],
    "How often it was tried.": [
        "event_dead_letters.deliveries",
    ],
    "When it was given up.": [
        "event_dead_letters.failed_at",
    ],
    'As printed: "oz", "fl oz" or "ct".': [
        "normalized_products.size_unit",
    ],
    "When the row was written.": [
        "normalized_products.created_at",
        "stores.created_at",
        "users.created_at",
    ],
    "When the row was last changed; who changes it sets it.": [
        "normalized_products.updated_at",
        "users.updated_at",
    ],
    "US dollars.": [
        "purchases.total",
        "purchases.subtotal",
        "purchases.tax",
        "purchases.savings_total",
        "purchase_items.extended_price",
        "purchase_items.coupon_discount",
        "purchase_items.loyalty_discount",
    ],
    "When it was recorded.": [
        "purchases.ingested_at",
    ],
    "As printed.": [
        "purchase_items.product_name_raw",
        "shrinkflation_events.old_size",
        "shrinkflation_events.new_size",
        "shrinkflation_events.old_unit",
        "shrinkflation_events.new_unit",
    ],
    "Pieces, or pounds.": [
        "purchase_items.quantity",
    ],
    "As the retailer says.": [
        "purchase_items.category_raw",
    ],
    "The day it was found.": [
        "shrinkflation_events.detected_date",
    ],
    "US dollars a package.": [
        "shrinkflation_events.price_at_old_size",
        "shrinkflation_events.price_at_new_size",
    ],
    "How sure, from 0 to 1.": [
        "shrinkflation_events.confidence",
    ],
    "Degrees north, WGS 84.": [
        "store_locations.lat",
    ],
    "Degrees east, WGS 84.": [
        "store_locations.lng",
    ],
    "When the retailer ends the session; NULL when it does not say.": [
        "user_store_accounts.session_expires_at",
    ],
    "When receipts were last read; NULL before the first time.": [
        "user_store_accounts.last_sync_at",
    ],
}


def upgrade() -> None:
    for comment, columns in COMMENTS.items():
        for column in columns:
            op.execute(f"COMMENT ON COLUMN {column} IS '{comment}'")


def downgrade() -> None:
    for columns in COMMENTS.values():
        for column in columns:
            op.execute(f"COMMENT ON COLUMN {column} IS NULL")
