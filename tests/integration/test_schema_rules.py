"""Every rule of the schema refuses what it is there for. Each case is one INSERT."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from cartsnitch_common.testing.plugin import _own_database
from tests.catalog import catalog, constraints, of_kind
from tests.rows import NOTHING, REQUIRED, Rows

LONG_AGO, LATER = "2026-03-01", "2026-03-02"
DATES = [
    ("purchases", "purchase_date"),
    ("price_history", "observed_date"),
    ("coupons", "valid_from"),
    ("coupons", "valid_to"),
    ("shrinkflation_events", "detected_date"),
]
TIMES = [
    ("stores", "created_at"),
    ("users", "created_at"),
    ("users", "updated_at"),
    ("user_store_accounts", "session_expires_at"),
    ("user_store_accounts", "last_sync_at"),
    ("normalized_products", "created_at"),
    ("normalized_products", "updated_at"),
    ("purchases", "ingested_at"),
    ("coupons", "scraped_at"),
]
BEYOND = ["-infinity", "0001-12-31 BC", "10000-01-01", "infinity"]

# table, columns, and the CHECK that refuses them, without its prefix.
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("stores", {"name": ""}, "name_not_empty"),
    ("stores", {"slug": "walmart"}, "slug"),
    ("stores", {"logo_url": "javascript:alert(1)"}, "logo_url_format"),
    ("stores", {"website_url": "https://a.example/a b"}, "website_url_format"),
    ("store_locations", {"address": ""}, "address_not_empty"),
    ("store_locations", {"city": ""}, "city_not_empty"),
    ("store_locations", {"state": "mi"}, "state_format"),
    ("store_locations", {"state": "M"}, "state_format"),
    ("store_locations", {"zip": "4810"}, "zip_format"),
    ("store_locations", {"zip": "48103-12"}, "zip_format"),
    ("store_locations", {"zip": "48103\n"}, "zip_format"),
    ("store_locations", {"lat": 90.1, "lng": 0}, "lat_range"),
    ("store_locations", {"lat": -91, "lng": 0}, "lat_range"),
    ("store_locations", {"lat": "NaN", "lng": 0}, "lat_range"),
    ("store_locations", {"lat": 0, "lng": 180.1}, "lng_range"),
    ("store_locations", {"lat": 0, "lng": -181}, "lng_range"),
    ("store_locations", {"lat": 42.2}, "coordinates_together"),
    ("store_locations", {"lng": -83.7}, "coordinates_together"),
    ("users", {"id": ""}, "id_not_empty"),
    ("users", {"email": ""}, "email_format"),
    ("users", {"email": "ada"}, "email_format"),
    ("users", {"email": "ada@a..example"}, "email_format"),
    ("users", {"email": "Ada <ada@a.example>"}, "email_format"),
    ("users", {"display_name": ""}, "display_name_not_empty"),
    ("user_store_accounts", {"status": "paused"}, "status"),
    ("normalized_products", {"canonical_name": ""}, "canonical_name_not_empty"),
    ("normalized_products", {"category": ""}, "category_not_empty"),
    ("normalized_products", {"subcategory": ""}, "subcategory_not_empty"),
    ("normalized_products", {"brand": ""}, "brand_not_empty"),
    ("normalized_products", {"size": "", "size_unit": "oz"}, "size_not_empty"),
    ("normalized_products", {"size": "18", "size_unit": ""}, "size_unit_not_empty"),
    ("normalized_products", {"size": "18"}, "size_together"),
    ("normalized_products", {"size_unit": "oz"}, "size_together"),
    ("normalized_products", {"upc_variants": {"4011": True}}, "upc_variants_array"),
    ("normalized_products", {"upc_variants": ["4011", "40-11"]}, "upc_variants_codes"),
    ("normalized_products", {"upc_variants": [4011]}, "upc_variants_codes"),
    ("normalized_products", {"upc_variants": [["4011"]]}, "upc_variants_codes"),
    ("normalized_products", {"upc_variants": [None]}, "upc_variants_codes"),
    (
        "normalized_products",
        {"upc_variants": [str(code) for code in range(1000, 1101)]},
        "upc_variants_count",
    ),
    ("normalized_products", {"upc_variants": ["4011", "4012", "4011"]}, "upc_variants_unique"),
    ("purchases", {"receipt_id": ""}, "receipt_id_not_empty"),
    ("purchases", {"source_url": ""}, "source_url_format"),
    ("purchases", {"total": "NaN"}, "total_number"),
    ("purchases", {"subtotal": "NaN"}, "subtotal_number"),
    ("purchases", {"tax": "NaN"}, "tax_number"),
    ("purchases", {"savings_total": "NaN"}, "savings_total_number"),
    ("purchase_items", {"product_name_raw": ""}, "product_name_raw_not_empty"),
    ("purchase_items", {"category_raw": ""}, "category_raw_not_empty"),
    ("purchase_items", {"unit_price": "-0.0001"}, "unit_price_not_negative"),
    ("purchase_items", {"regular_price": -1}, "regular_price_not_negative"),
    ("purchase_items", {"sale_price": -1}, "sale_price_not_negative"),
    ("purchase_items", {"quantity": 0}, "quantity_not_zero"),
    ("purchase_items", {"quantity": "0.0004"}, "quantity_not_zero"),
    ("purchase_items", {"quantity": "NaN"}, "quantity_number"),
    ("purchase_items", {"extended_price": "NaN"}, "extended_price_number"),
    ("purchase_items", {"coupon_discount": "NaN"}, "coupon_discount_number"),
    ("purchase_items", {"loyalty_discount": "NaN"}, "loyalty_discount_number"),
    ("purchase_items", {"unit_price": "NaN"}, "unit_price_not_negative"),
    ("purchase_items", {"upc": ""}, "upc_format"),
    ("purchase_items", {"upc": "401"}, "upc_format"),
    ("purchase_items", {"upc": "0123456789a1"}, "upc_format"),
    ("purchase_items", {"upc": "012345"}, "upc_format"),
    ("price_history", {"regular_price": "NaN"}, "regular_price_not_negative"),
    ("price_history", {"regular_price": -1}, "regular_price_not_negative"),
    ("price_history", {"sale_price": -1}, "sale_price_not_negative"),
    ("price_history", {"loyalty_price": -1}, "loyalty_price_not_negative"),
    ("price_history", {"coupon_price": -1}, "coupon_price_not_negative"),
    ("price_history", {"source": "rumour"}, "source"),
    ("current_prices", {"source": "rumour"}, "source"),
    ("price_history", {"purchase_item_id": NOTHING}, "purchase_item_of_receipt"),
    ("coupons", {"title": ""}, "title_not_empty"),
    ("coupons", {"description": ""}, "description_not_empty"),
    ("coupons", {"coupon_code": ""}, "coupon_code_not_empty"),
    ("coupons", {"discount_type": "gift"}, "discount_type"),
    ("coupons", {"discount_value": -1}, "discount_value_not_negative"),
    ("coupons", {"min_purchase": -1}, "min_purchase_not_negative"),
    ("coupons", {"source_url": "ftp://a.example"}, "source_url_format"),
    ("coupons", {"valid_from": LATER, "valid_to": LONG_AGO}, "valid_dates"),
    ("coupons", {"discount_type": "percent", "discount_value": 101}, "percent_range"),
    ("coupons", {"discount_type": "bogo", "discount_value": 101}, "percent_range"),
    ("shrinkflation_events", {"old_size": ""}, "old_size_not_empty"),
    ("shrinkflation_events", {"new_size": ""}, "new_size_not_empty"),
    ("shrinkflation_events", {"old_unit": ""}, "old_unit_not_empty"),
    ("shrinkflation_events", {"new_unit": ""}, "new_unit_not_empty"),
    ("shrinkflation_events", {"notes": ""}, "notes_not_empty"),
    ("shrinkflation_events", {"price_at_old_size": -1}, "price_at_old_size_not_negative"),
    ("shrinkflation_events", {"price_at_new_size": -1}, "price_at_new_size_not_negative"),
    ("shrinkflation_events", {"confidence": "1.1"}, "confidence_range"),
    ("shrinkflation_events", {"confidence": "NaN"}, "confidence_range"),
    ("shrinkflation_events", {"confidence": "-0.1"}, "confidence_range"),
    *((table, {name: day}, f"{name}_range") for table, name in DATES for day in BEYOND),
    *((table, {name: time}, f"{name}_range") for table, name in TIMES for time in BEYOND),
]

# The same columns, just inside the rules.
SOUND: list[tuple[str, dict[str, Any]]] = [
    ("store_locations", {"lat": 90, "lng": -180, "zip": "48103-1234"}),
    ("purchases", {"total": "-12.34", "receipt_id": "return"}),
    ("purchase_items", {"quantity": "-0.755", "extended_price": "-1.50", "upc": "4011"}),
    ("purchase_items", {"upc": "00012345600012", "unit_price": 0}),
    ("normalized_products", {"size": "1/2", "size_unit": "gal", "upc_variants": ["4011"]}),
    ("coupons", {"valid_from": LATER, "valid_to": LATER}),
    ("coupons", {"valid_to": LATER}),
    *((table, {name: day}) for table, name in DATES for day in ("0001-01-01", "9999-12-31")),
    *(
        (table, {name: time})
        for table, name in TIMES
        for time in ("0001-01-01 00:00:00+00", "9999-12-31 23:59:59.999999+00")
    ),
    ("normalized_products", {"upc_variants": [str(code) for code in range(1000, 1100)]}),
    ("normalized_products", {"upc_variants": ["4011", "14011", "00004011"]}),
    ("coupons", {"discount_type": "percent", "discount_value": 100}),
    ("coupons", {"discount_type": "fixed", "discount_value": 101}),
    ("shrinkflation_events", {"confidence": 0}),
]

# table, what the second row has in common with the first, what it differs in, the constraint.
TWICE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("stores", {"slug": "kroger"}, {"name": "Other"}, "uq_stores_slug"),
    (
        "store_locations",
        {"address": "2 B St", "zip": "48104"},
        {"city": "Other"},
        "uq_store_locations_store_id_address_zip",
    ),
    ("users", {"email": "Eve@parent.example"}, {"email": "eVE@PARENT.example"}, "uq_users_email"),
    ("user_store_accounts", {}, {}, "uq_user_store_accounts_user_id_store_id"),
    ("purchases", {"receipt_id": "r-2"}, {"total": 2}, "uq_purchases_store_id_receipt_id"),
    (
        "shrinkflation_events",
        {"new_size": "15"},
        {"old_size": "17"},
        "uq_shrinkflation_events_normalized_product_id_new_size_new_unit",
    ),
    (
        "event_dead_letters",
        {"entry_id": "2-0"},
        {"reason": "other"},
        "uq_event_dead_letters_consumer_stream_entry_id",
    ),
]

# table, column, its parent, and what becomes of the row when the parent goes.
KEYS: list[tuple[str, str, str, str]] = [
    ("store_locations", "store_id", "stores", "RESTRICT"),
    ("user_store_accounts", "user_id", "users", "CASCADE"),
    ("user_store_accounts", "store_id", "stores", "RESTRICT"),
    ("purchases", "user_id", "users", "CASCADE"),
    ("purchases", "store_id", "stores", "RESTRICT"),
    ("purchases", "store_location_id", "store_locations", "SET NULL"),
    ("purchase_items", "purchase_id", "purchases", "CASCADE"),
    ("purchase_items", "normalized_product_id", "normalized_products", "SET NULL"),
    ("product_names", "normalized_product_id", "normalized_products", "CASCADE"),
    ("price_history", "normalized_product_id", "normalized_products", "RESTRICT"),
    ("price_history", "store_id", "stores", "RESTRICT"),
    ("price_history", "purchase_item_id", "purchase_items", "SET NULL"),
    ("coupons", "store_id", "stores", "RESTRICT"),
    ("coupons", "normalized_product_id", "normalized_products", "SET NULL"),
    ("shrinkflation_events", "normalized_product_id", "normalized_products", "RESTRICT"),
]


@pytest.fixture(scope="module")
def url(cartsnitch_servers: Any, cartsnitch_template: str) -> Any:
    yield from _own_database(cartsnitch_servers.database_url, template=cartsnitch_template)


@pytest.fixture(scope="module")
def connection(url: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def rows(connection: psycopg.Connection[Any]) -> Any:
    with connection.transaction(force_rollback=True):
        yield Rows(connection)


@pytest.mark.parametrize(("table", "values", "check"), BROKEN)
def test_a_check_refuses(rows: Rows, table: str, values: dict[str, Any], check: str) -> None:
    """The database refuses the row, whoever inserts it, and names the rule."""
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        rows.add(table, **values)
    assert refused.value.diag.constraint_name == f"ck_{table}_{check}"


@pytest.mark.parametrize(("table", "values"), SOUND)
def test_a_check_lets_pass(rows: Rows, table: str, values: dict[str, Any]) -> None:
    """What lies just inside the rules is stored."""
    assert rows.add(table, **values) is not None


def test_every_check_has_a_case(url: str) -> None:
    """No CHECK of the schema is without a row that it refuses."""
    tried = {f"ck_{table}_{check}" for table, _, check in BROKEN}
    assert tried == constraints(catalog(url), "CHECK").keys()


@pytest.mark.parametrize(("table", "same", "other", "constraint"), TWICE)
def test_a_row_is_not_stored_twice(
    rows: Rows, table: str, same: dict[str, Any], other: dict[str, Any], constraint: str
) -> None:
    """A second row of the same identity is refused, whatever else it holds."""
    rows.add(table, **same)
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        rows.add(table, **same | other)
    assert refused.value.diag.constraint_name == constraint


def test_every_unique_constraint_has_a_case(url: str) -> None:
    """No unique constraint of the schema is without a pair that it refuses."""
    unique = {
        name.partition(".")[2]
        for name, index in of_kind(catalog(url), "index").items()
        if index["definition"].startswith("CREATE UNIQUE") and ".pk_" not in name
    }
    tried = {constraint for *_, constraint in TWICE}
    assert unique == tried


@pytest.mark.parametrize("table", REQUIRED)
def test_a_key_is_not_used_twice(rows: Rows, table: str) -> None:
    """A row with the primary key of another is refused."""
    rows.add(table)
    query = """SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = %s::regclass
               AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"""
    (columns,) = rows.connection.execute(query, [table]).fetchone() or ("",)
    copy = f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {table}"
    with pytest.raises(psycopg.errors.UniqueViolation) as refused:
        rows.connection.execute(copy)
    # Of a table that is partitioned the partition refuses, by the name of its own key.
    key = "event_log_first_pkey" if table == "event_log" else f"pk_{table}"
    assert refused.value.diag.constraint_name == key


@pytest.mark.parametrize("table", REQUIRED)
def test_a_required_column_is_never_empty(rows: Rows, table: str) -> None:
    """NULL is refused where a value is required, also where there would be a default."""
    query = """SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0
               AND attnotnull AND attidentity = '' AND attgenerated = ''"""
    columns = [row[0] for row in rows.connection.execute(query, [table])]
    assert columns
    for column in columns:
        with rows.connection.transaction(force_rollback=True):
            own = Rows(rows.connection)
            with pytest.raises(psycopg.errors.NotNullViolation) as refused:
                own.add(table, **{column: None})
            assert refused.value.diag.column_name == column


@pytest.mark.parametrize(("table", "column", "parent", "action"), KEYS)
def test_a_row_without_its_parent_is_refused(
    rows: Rows, table: str, column: str, parent: str, action: str
) -> None:
    """A foreign key leads to a row that exists."""
    del parent, action
    receipt = {"source": "receipt"} if column == "purchase_item_id" else {}
    with pytest.raises(psycopg.errors.ForeignKeyViolation) as refused:
        rows.add(table, **receipt | {column: NOTHING})
    assert refused.value.diag.constraint_name == f"fk_{table}_{column}"


@pytest.mark.parametrize(("table", "column", "parent", "action"), KEYS)
def test_a_parent_that_goes(rows: Rows, table: str, column: str, parent: str, action: str) -> None:
    """When a parent is deleted its rows stop that, go with it or forget it, as declared."""
    receipt = {"source": "receipt"} if column == "purchase_item_id" else {}
    key = rows.the(parent)
    rows.add(table, **receipt | {column: key})
    delete = f"DELETE FROM {parent} WHERE id = %s"
    match action:
        case "RESTRICT":
            # PostgreSQL 18 calls it a RestrictViolation, earlier ones as any foreign key's.
            with pytest.raises(psycopg.errors.IntegrityError) as refused:
                rows.connection.execute(delete, [key])
            assert refused.value.diag.constraint_name == f"fk_{table}_{column}"
        case "CASCADE":
            rows.connection.execute(delete, [key])
            assert rows.count(table) == 0
        case _:
            rows.connection.execute(delete, [key])
            left = rows.connection.execute(f"SELECT {column} FROM {table}").fetchall()
            assert left == [(None,)]


def test_every_foreign_key_has_a_case(url: str) -> None:
    """Each foreign key declares what a delete does, and that is tried above."""
    found = constraints(catalog(url), "FOREIGN KEY")
    assert found.keys() == {f"fk_{table}_{column}" for table, column, *_ in KEYS}
    for table, column, _, action in KEYS:
        assert found[f"fk_{table}_{column}"].endswith(f"ON DELETE {action}")
