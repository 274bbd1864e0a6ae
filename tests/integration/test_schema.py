from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from alembic import command
from sqlalchemy import Enum

from cartsnitch_common.config import Settings
from cartsnitch_common.constants import AccountStatus, DiscountType, PriceSource, StoreSlug
from cartsnitch_common.db.catalog import Facts
from cartsnitch_common.db.engine import sync_engine
from cartsnitch_common.db.models import Base
from cartsnitch_common.db.revisions import alembic_config
from tests.catalog import catalog, constraints, of_kind, tables
from tests.rows import PARENTS, REQUIRED, Rows

ENUMS: dict[tuple[str, str], type[StrEnum]] = {
    (table.name, column.name): column.type.enum_class
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, Enum) and column.type.enum_class and column.type.create_constraint
}
# What a model can carry; triggers and functions stand in migrations only.
MODELLED = ("table ", "column ", "constraint ", "index ")


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
    Triggers and their functions stand in the migrations only.
    """
    engine = sync_engine(Settings.load(database_url=empty_database))
    Base.metadata.create_all(engine)
    engine.dispose()
    migrated, modelled = (
        {key: facts for key, facts in catalog(url).items() if key.startswith(MODELLED)}
        for url in (database, empty_database)
    )
    assert {key: migrated.get(key) for key in modelled} == modelled
    assert migrated.keys() == modelled.keys()


def test_every_table_has_a_row_here(database: str) -> None:
    """No table is forgotten in what follows."""
    assert tables(catalog(database)) == REQUIRED.keys()


def test_every_name_follows_the_convention(database: str) -> None:
    """A constraint or index says what it is and on which table."""
    facts = catalog(database)
    for name in of_kind(facts, "constraint"):
        table, _, constraint = name.partition(".")
        assert re.match(rf"(pk|uq|ck|fk)_{table}(_|$)", constraint), name
    for name in of_kind(facts, "index"):
        table, _, index = name.partition(".")
        assert re.match(rf"(pk|uq|ix)_{table}(_|$)", index), name


def test_every_table_says_what_it_holds(database: str) -> None:
    """Each table says what its rows are."""
    for name, facts in of_kind(catalog(database), "table").items():
        assert facts.get("comment"), name


def foreign_keys(facts: Facts) -> set[tuple[str, str]]:
    return {
        (name.partition(".")[0], match[1])
        for name, constraint in of_kind(facts, "constraint").items()
        if (match := re.match(r"FOREIGN KEY \((\w+)\)", constraint["definition"]))
    }


def test_every_column_says_what_it_holds(database: str) -> None:
    """Who reads the tables with another program finds the meaning of each column there."""
    columns = of_kind(catalog(database), "column")
    assert [name for name, facts in columns.items() if not facts.get("comment")] == []


def test_every_searched_foreign_key_has_an_index(database: str) -> None:
    """A delete of a parent finds its children without reading a whole table."""
    facts = catalog(database)
    starts = {
        (name.partition(".")[0], match[1])
        for name, index in of_kind(facts, "index").items()
        if (match := re.search(r"\((\w+)[,)]", index["definition"]))
    }
    keys = foreign_keys(facts)
    assert keys
    assert keys - starts == set()


@pytest.mark.parametrize("table", REQUIRED)
def test_a_row_needs_only_its_required_columns(database: str, table: str) -> None:
    """Another language inserts a row without knowing any default."""
    needed = {
        name.partition(".")[2]
        for name, column in of_kind(catalog(database), "column").items()
        if name.startswith(f"{table}.")
        and column["nullability"] == "not null"
        and not column.keys() & {"default", "identity", "generated"}
    }
    assert REQUIRED[table].keys() | PARENTS.get(table, {}).keys() == needed
    with psycopg.connect(database) as connection:
        assert Rows(connection).add(table) is not None


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


def test_every_list_of_values_is_the_contracts(database: str) -> None:
    """No column has a list of values that is not an enum of the contract, and none is forgotten."""
    lists = {
        name
        for name, definition in constraints(catalog(database), "CHECK").items()
        if "ARRAY[" in definition
    }
    assert lists == {f"ck_{table}_{column}" for table, column in ENUMS}
    assert {AccountStatus, DiscountType, PriceSource, StoreSlug} == set(ENUMS.values())


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
