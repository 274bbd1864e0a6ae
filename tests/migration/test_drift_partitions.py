"""`cartsnitch db check` finds what is wrong below the tables: in partitions, heirs and inside."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from sqlalchemy import Connection

from cartsnitch_common.db.drift import differences

FOREIGN = "CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;"
FUNCTION = "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"


class Drift(NamedTuple):
    """What somebody does, and the only lines that tell of it."""

    statements: str
    told: tuple[str, ...]


def unchecked(*keys: str) -> tuple[str, ...]:
    """What is told of foreign keys whose triggers are off."""
    return tuple(f'constraint {key}: enforcement is "disabled", not nothing' for key in keys)


DRIFTS: dict[str, Drift] = {
    "foreign keys that are not checked": Drift(
        "ALTER TABLE coupons DISABLE TRIGGER ALL",
        unchecked("coupons.fk_coupons_normalized_product_id", "coupons.fk_coupons_store_id"),
    ),
    "foreign keys to a table that are not checked": Drift(
        "ALTER TABLE purchases DISABLE TRIGGER ALL",
        unchecked(
            "purchase_items.fk_purchase_items_purchase_id",
            "purchases.fk_purchases_store_id",
            "purchases.fk_purchases_store_location_id",
            "purchases.fk_purchases_user_id",
        ),
    ),
    "a table that inherits from one": Drift(
        "CREATE TABLE their_coupons () INHERITS (coupons)",
        ('table coupons: inherited_by is "their_coupons", not nothing',),
    ),
    "a foreign table that inherits from one": Drift(
        f"{FOREIGN} CREATE SCHEMA t; CREATE FOREIGN TABLE t.away () INHERITS (coupons) SERVER s",
        ('table coupons: inherited_by is "t.away", not nothing',),
    ),
    "a table whose rows are another's too": Drift(
        "CREATE TABLE theirs (id uuid NOT NULL); ALTER TABLE stores INHERIT theirs",
        ('table stores: inherits is "theirs", not nothing',),
    ),
    "a table that is another's partition": Drift(
        "CREATE TABLE theirs (LIKE users) PARTITION BY HASH (id);"
        "ALTER TABLE theirs ATTACH PARTITION users FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        ('table users: inherits is "theirs", not nothing',),
    ),
    "a partition that is detached": Drift(
        "ALTER TABLE event_log DETACH PARTITION event_log_first",
        ("partition event_log_first: is not attached to event_log",),
    ),
    "the default partition is detached": Drift(
        "ALTER TABLE event_log DETACH PARTITION event_log_default",
        ("partition event_log_default: is not attached to event_log",),
    ),
    "the default partition is gone": Drift(
        "DROP TABLE event_log_default",
        ("partition event_log_default: is missing",),
    ),
    "a partition that nobody keeps": Drift(
        "CREATE TABLE event_log_old PARTITION OF event_log"
        " FOR VALUES FROM ('2999-01-01') TO ('3000-01-01')",
        ("partition event_log_old: is not part of the schema",),
    ),
    "a partition with partitions": Drift(
        "DROP TABLE event_log_default;"
        "CREATE TABLE event_log_default PARTITION OF event_log DEFAULT PARTITION BY HASH (id)",
        ("partition event_log_default: is partitioned itself",),
    ),
    "a partition that a crash empties": Drift(
        "ALTER TABLE event_log_first SET UNLOGGED",
        ("partition event_log_first: is unlogged",),
    ),
    "a partition with policies": Drift(
        "ALTER TABLE event_log_first ENABLE ROW LEVEL SECURITY;"
        "CREATE POLICY p ON event_log_first USING (false)",
        (
            "partition event_log_first: has row security",
            "partition event_log_first: policy p is not part of the schema",
        ),
    ),
    "a partition that is never vacuumed": Drift(
        "ALTER TABLE event_log_first SET (autovacuum_enabled = off)",
        ("partition event_log_first: has the option autovacuum_enabled=off",),
    ),
    "a trigger of a partition": Drift(
        f"{FUNCTION} CREATE TRIGGER theirs BEFORE INSERT ON event_log_default"
        " FOR EACH ROW EXECUTE FUNCTION theirs()",
        ("partition event_log_default: trigger theirs is not part of the schema",),
    ),
    "a CHECK of a partition": Drift(
        "ALTER TABLE event_log_default ADD CONSTRAINT mine CHECK (key <> 'a')",
        ("partition event_log_default: constraint mine is not part of the schema",),
    ),
    "a foreign key of a partition": Drift(
        "ALTER TABLE event_log_first ADD CONSTRAINT mine FOREIGN KEY (event_id) REFERENCES stores",
        ("partition event_log_first: constraint mine is not part of the schema",),
    ),
    "a rule of a partition": Drift(
        "CREATE RULE mine AS ON DELETE TO event_log_first DO INSTEAD NOTHING",
        ("partition event_log_first: rule mine is not part of the schema",),
    ),
    "statistics of a partition": Drift(
        "CREATE STATISTICS mine ON key, event_type FROM event_log_first",
        ("partition event_log_first: statistics mine is not part of the schema",),
    ),
    "an index of a partition": Drift(
        "CREATE INDEX mine ON event_log_first (key)",
        ("partition event_log_first: index mine is not part of the schema",),
    ),
    "an index of a partition that no query uses": Drift(
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'event_log_default_pkey'::regclass",
        ("partition event_log_default: index event_log_default_pkey is invalid",),
    ),
    "another default of a partition's column": Drift(
        "ALTER TABLE event_log_first ALTER relayed_at SET DEFAULT '2000-01-01Z',"
        " ALTER key SET DEFAULT ''",
        (
            "partition event_log_first: column key has another default",
            "partition event_log_first: column relayed_at has another default",
        ),
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_a_change_by_hand_is_named(connection: Connection, drift: str) -> None:
    """It is the only thing that is told, with the name of what was changed."""
    statements, told = DRIFTS[drift]
    connection.exec_driver_sql(statements)
    assert differences(connection) == told


def test_partitions_of_others_are_not_judged(connection: Connection) -> None:
    """Other programs keep theirs as they like, and tables whose names are not a day's."""
    connection.exec_driver_sql(
        "CREATE TABLE parts (id int) PARTITION BY LIST (id);"
        "CREATE UNLOGGED TABLE parts_default PARTITION OF parts DEFAULT;"
        "CREATE TABLE event_log_old (id int); CREATE TABLE event_log_2026 (id int)"
    )
    assert differences(connection) == ()


def test_the_first_day_may_be_gone(connection: Connection) -> None:
    """The job makes days and drops them, the first one too; none of it is drift."""
    connection.exec_driver_sql("SELECT event_log_keep('7 days')")
    assert differences(connection) == ()
    connection.exec_driver_sql("SELECT event_log_keep('-2 days')")
    assert connection.exec_driver_sql("SELECT to_regclass('event_log_first')").scalar() is None
    assert differences(connection) == ()
