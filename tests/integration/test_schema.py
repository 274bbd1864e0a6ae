from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from alembic import command

from cartsnitch_common.config import Settings
from cartsnitch_common.constants import (
    AccountStatus,
    DiscountType,
    PriceSource,
    StoreSlug,
)
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.revisions import alembic_config
from tests.catalog import catalog, constraints, tables
from tests.rows import PARENTS, REQUIRED, Rows

ENUMS: dict[tuple[str, str], type[StrEnum]] = {
    ("stores", "slug"): StoreSlug,
    ("user_store_accounts", "status"): AccountStatus,
    ("price_history", "source"): PriceSource,
    ("coupons", "discount_type"): DiscountType,
}
OURS = {
    "current_prices",
    "event_outbox",
    "event_log",
    "event_inbox",
    "event_dead_letters",
}


@pytest.fixture
def rows(database: str) -> Any:
    with psycopg.connect(database) as connection:
        yield Rows(connection)


def test_the_head_is_what_autogenerate_would_make(database: str) -> None:
    """Alembic finds nothing to add to the migrations."""
    engine = sync_engine(Settings.load(database_url=database))
    with engine.connect() as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.check(config)
    engine.dispose()


def test_the_head_is_the_models_to_the_last_definition(database: str, empty_database: str) -> None:
    """Columns, defaults, comments, constraints and indexes are those of the models.

    Alembic alone would not see a changed CHECK, a comment or a partial index.
    """
    engine = sync_engine(Settings.load(database_url=empty_database))
    Base.metadata.create_all(engine)
    engine.dispose()
    migrated, modelled = catalog(database), catalog(empty_database)
    assert {key: migrated.get(key) for key in modelled} == modelled
    assert migrated.keys() == modelled.keys()


def test_the_schema_is_the_seeds_tables_and_the_bus(database: str) -> None:
    """There are the ten tables of the platform and the four of the event bus."""
    assert tables(catalog(database)) == REQUIRED.keys() | OURS


def test_every_name_follows_the_convention(database: str) -> None:
    """A constraint or index says what it is and on which table."""
    facts = catalog(database)
    for kind, table, name in facts:
        if kind == "constraint" and facts[kind, table, name][0] != "n":
            assert re.match(rf"(pk|uq|ck|fk)_{table}(_|$)", name), name
        if kind == "index":
            assert re.match(rf"(pk|uq|ix)_{table}(_|$)", name), name


def test_every_table_says_what_it_holds(database: str) -> None:
    """Each table says what its rows are."""
    for key, facts in catalog(database).items():
        if key[0] == "table":
            assert facts[0], key


def test_every_searched_foreign_key_has_an_index(database: str) -> None:
    """A delete of a parent finds its children without reading a whole table."""
    facts = catalog(database)
    starts = {
        (key[1], match[1])
        for key, value in facts.items()
        if key[0] == "index" and (match := re.search(r"\((\w+)[,)]", value[0]))
    }
    keys = {
        (key[1], match[1])
        for key, value in facts.items()
        if key[0] == "constraint" and (match := re.match(r"FOREIGN KEY \((\w+)\)", value[1]))
    }
    assert keys
    assert keys - starts == set()


@pytest.mark.parametrize("table", REQUIRED)
def test_a_row_needs_only_its_required_columns(database: str, table: str) -> None:
    """Another language inserts a row without knowing any default."""
    needed = {
        key[2]
        for key, (_, _, not_null, default, identity, *_) in column_facts(database).items()
        if key[1] == table and not_null and default is None and not identity
    }
    assert REQUIRED[table].keys() | PARENTS.get(table, {}).keys() == needed
    with psycopg.connect(database) as connection:
        assert Rows(connection).add(table) is not None


def column_facts(url: str) -> dict[Any, Any]:
    return {key: value for key, value in catalog(url).items() if key[0] == "column"}


@pytest.mark.parametrize(("table", "column"), ENUMS)
def test_an_enum_column_holds_the_contracts_values(rows: Rows, table: str, column: str) -> None:
    """Every value of the contract can be stored, and the next one that nobody declared cannot."""
    for number, value in enumerate(ENUMS[table, column]):
        with rows.connection.transaction(force_rollback=True):
            Rows(rows.connection).add(table, **{column: value.value})
            assert rows.count(table) == 1, number
    with pytest.raises(psycopg.errors.CheckViolation) as refused:
        Rows(rows.connection).add(table, **{column: "undeclared"})
    assert refused.value.diag.constraint_name == f"ck_{table}_{column}"


def test_every_enum_column_is_checked_here(database: str) -> None:
    """No column with a list of values is forgotten above."""
    lists = {
        name
        for name, definition in constraints(catalog(database), "c").items()
        if "ARRAY[" in definition
    }
    assert lists == {f"ck_{table}_{column}" for table, column in ENUMS}


def test_defaults_are_what_readers_expect(rows: Rows) -> None:
    """Ids, times and flags are there without being written."""
    rows.add("user_store_accounts")
    rows.add("coupons")
    query = """
        SELECT s.created_at = now(), length(u.id), u.created_at = u.updated_at, a.status,
               c.requires_clip, c.scraped_at = now()
        FROM user_store_accounts a JOIN users u ON u.id = a.user_id
        JOIN stores s ON s.id = a.store_id JOIN coupons c ON c.store_id = s.id
    """
    assert rows.connection.execute(query).fetchone() == (True, 36, True, "expired", False, True)
    product = rows.the("normalized_products")
    query = "SELECT upc_variants FROM normalized_products WHERE id = %s"
    assert rows.connection.execute(query, [product]).fetchone() == ([],)
