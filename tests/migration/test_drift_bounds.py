"""`cartsnitch db check` finds partitions of the log that hold another time than they should."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from cartsnitch_common.db.drift import differences

FIRST = (
    "ALTER TABLE event_log DETACH PARTITION event_log_first;"
    "ALTER TABLE event_log ATTACH PARTITION event_log_first FOR VALUES "
)
DEFAULT = "DROP TABLE event_log_default; CREATE TABLE event_log_default PARTITION OF event_log "
DAY = "CREATE TABLE event_log_{} PARTITION OF event_log FOR VALUES "
GONE = "DROP TABLE event_log_first;"

MIDNIGHT = "does not end the past at a midnight of UTC"
NAME = "does not hold the day of its name, in UTC"
LATE = "ends later than what event_log_keep makes, which so makes no day"

# What somebody does, and what is told of which partition.
DRIFTS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a past that lasts for centuries": (
        f"{FIRST} FROM (MINVALUE) TO ('2999-01-01Z')",
        "first",
        (LATE,),
    ),
    "a past that never ends": (f"{FIRST} FROM (MINVALUE) TO (MAXVALUE)", "first", (MIDNIGHT,)),
    "a past that ends at infinity": (
        f"{FIRST} FROM (MINVALUE) TO ('infinity')",
        "first",
        (MIDNIGHT,),
    ),
    "a past that ends at noon": (
        f"{FIRST} FROM (MINVALUE) TO ('2026-01-01 12:00Z')",
        "first",
        (MIDNIGHT,),
    ),
    "a past that ends at another midnight": (
        f"{FIRST} FROM (MINVALUE) TO ('2026-01-01 00:00+02')",
        "first",
        (MIDNIGHT,),
    ),
    "a past that has a beginning": (
        f"{FIRST} FROM ('2025-01-01Z') TO ('2026-01-01Z')",
        "first",
        (MIDNIGHT,),
    ),
    "a day that is a month": (
        f"{GONE} {DAY.format(20250101)} FROM ('2025-01-01Z') TO ('2025-02-01Z')",
        "20250101",
        (NAME,),
    ),
    "a day of another name": (
        f"{GONE} {DAY.format(20250101)} FROM ('2025-01-02Z') TO ('2025-01-03Z')",
        "20250101",
        (NAME,),
    ),
    "a day of another time zone": (
        f"{GONE} {DAY.format(20250101)} FROM ('2025-01-01+05') TO ('2025-01-02+05')",
        "20250101",
        (NAME,),
    ),
    "a name that is no day": (
        f"{GONE} {DAY.format(20251399)} FROM ('2025-01-01Z') TO ('2025-01-02Z')",
        "20251399",
        (NAME,),
    ),
    "a day without an end": (
        f"{DAY.format(20990101)} FROM ('2099-01-01Z') TO (MAXVALUE)",
        "20990101",
        (NAME,),
    ),
    "a month in the far future": (
        f"{DAY.format(20990101)} FROM ('2099-01-01Z') TO ('2099-02-01Z')",
        "20990101",
        (NAME, LATE),
    ),
    "a day in the far future": (
        f"{DAY.format(20990101)} FROM ('2099-01-01Z') TO ('2099-01-02Z')",
        "20990101",
        (LATE,),
    ),
    "a default that is a day": (
        f"{DEFAULT} FOR VALUES FROM ('2999-01-01Z') TO ('2999-01-02Z')",
        "default",
        (LATE, "is not the default partition"),
    ),
}


@pytest.mark.parametrize("drift", DRIFTS)
def test_other_bounds_are_named(connection: Connection, drift: str) -> None:
    """Of a partition that holds another time than its name says, or for which the job waits."""
    statements, name, told = DRIFTS[drift]
    connection.exec_driver_sql(statements)
    assert differences(connection) == tuple(f"partition event_log_{name}: {what}" for what in told)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12", "America/St_Johns", "UTC"])
def test_what_the_job_makes_is_no_drift(connection: Connection, zone: str) -> None:
    """In each time zone of who calls it, and when the first partition is gone."""
    for retention in ("7 days", "-2 days"):
        connection.exec_driver_sql(f"SET LOCAL timezone = '{zone}'")
        connection.exec_driver_sql(f"SELECT event_log_keep('{retention}')")
        connection.exec_driver_sql("SET LOCAL timezone = 'UTC'")  # as each engine has it
        assert differences(connection) == ()


def test_a_database_of_long_ago_has_no_drift(connection: Connection) -> None:
    """However long it is since the log became partitioned, and since the job ran."""
    connection.exec_driver_sql(
        f"{FIRST} FROM (MINVALUE) TO ('2020-03-01Z');"
        f"{DAY.format(20200301)} FROM ('2020-03-01Z') TO ('2020-03-02Z')"
    )
    assert differences(connection) == ()
    connection.exec_driver_sql("SELECT event_log_keep('9999 days')")
    assert differences(connection) == ()


def test_another_key_of_the_log_is_told_without_an_error(connection: Connection) -> None:
    """Bounds that are no time at all are compared as well."""
    connection.exec_driver_sql(
        "ALTER TABLE event_log DETACH PARTITION event_log_first; DROP TABLE event_log;"
        "CREATE TABLE event_log (LIKE event_log_first) PARTITION BY RANGE (id);"
        "ALTER TABLE event_log ATTACH PARTITION event_log_first FOR VALUES FROM (MINVALUE) TO (9);"
        "CREATE TABLE event_log_default PARTITION OF event_log DEFAULT"
    )
    assert f"partition event_log_first: {MIDNIGHT}" in differences(connection)
