"""Say what every column holds.

What: comments on the columns that 0019 left alone because their names tell it.
Why: who reads the tables with another program need not know the code to trust a name.
Phase: expand.
The previous code sees: what it saw.
"""

from __future__ import annotations

from alembic import op

revision = "0026_every_column_comment"
down_revision = "0025_truncated_prices"

COMMENTS = {
    "The key of a row of stores.": [
        "current_prices.store_id",
        "coupons.store_id",
        "store_locations.store_id",
        "user_store_accounts.store_id",
        "purchases.store_id",
        "price_history.store_id",
    ],
    "The key of a row of normalized_products.": [
        "current_prices.normalized_product_id",
        "coupons.normalized_product_id",
        "product_names.normalized_product_id",
        "shrinkflation_events.normalized_product_id",
        "purchase_items.normalized_product_id",
        "price_history.normalized_product_id",
    ],
    "The day on which the price was valid, not when it was recorded.": [
        "current_prices.observed_date",
    ],
    "Where the price was seen.": [
        "current_prices.source",
        "price_history.source",
    ],
    "The receipt line it was read from; NULL where there is none, or no more.": [
        "current_prices.purchase_item_id",
        "price_history.purchase_item_id",
    ],
    "The key; of rows that Python made it ascends with time.": [
        "event_dead_letters.id",
        "normalized_products.id",
        "stores.id",
        "coupons.id",
        "shrinkflation_events.id",
        "store_locations.id",
        "user_store_accounts.id",
        "purchases.id",
        "purchase_items.id",
        "price_history.id",
    ],
    "Ascending within a key.": [
        "event_outbox.id",
    ],
    "The name that the platform shows.": [
        "normalized_products.canonical_name",
    ],
    "NULL when not known.": [
        "normalized_products.category",
    ],
    "The category below the category; NULL when not known.": [
        "normalized_products.subcategory",
    ],
    "NULL for loose produce and where it is not known.": [
        "normalized_products.brand",
    ],
    "As people know it.": [
        "stores.name",
    ],
    "The retailer in the contract.": [
        "stores.slug",
    ],
    "NULL when there is none.": [
        "stores.logo_url",
        "stores.website_url",
    ],
    "Opaque: an auth server may mint it.": [
        "users.id",
    ],
    "What the user wants to be called; NULL until given.": [
        "users.display_name",
    ],
    "The offer in one line.": [
        "coupons.title",
    ],
    "The offer in full; NULL when the store says no more than the title.": [
        "coupons.description",
    ],
    "How it lowers the price.": [
        "coupons.discount_type",
    ],
    "What to enter or to scan; NULL when there is none.": [
        "coupons.coupon_code",
    ],
    "Where it was read; NULL when it has no page of its own.": [
        "coupons.source_url",
    ],
    "How many different tokens there are.": [
        "product_names.token_count",
    ],
    "What a person should know of it; NULL when nothing.": [
        "shrinkflation_events.notes",
    ],
    "Street and number.": [
        "store_locations.address",
    ],
    "The city alone.": [
        "store_locations.city",
    ],
    "ZIP or ZIP+4 code.": [
        "store_locations.zip",
    ],
    "The key of a row of users.": [
        "user_store_accounts.user_id",
        "purchases.user_id",
    ],
    "Whether receipts can be read now.": [
        "user_store_accounts.status",
    ],
    "The key of a row of store_locations.": [
        "purchases.store_location_id",
    ],
    "Where the receipt was read; NULL for an upload.": [
        "purchases.source_url",
    ],
    "The key of a row of purchases.": [
        "purchase_items.purchase_id",
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
