"""The event log becomes partitioned under a relay of the version before."""

from __future__ import annotations

from typing import Any

import psycopg

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.values.ids import new_uuid

BEFORE, AFTER = "0020_outbox_partitions", "0021_event_log_days"
ROLE = f"relay_{new_uuid().hex}"
RIGHTS = """
SELECT relowner::regrole::text, relacl::text FROM pg_class WHERE oid = 'event_log'::regclass
"""
# As a relay of version 0.1 moves a row.
MOVE = """
INSERT INTO event_log (id, event_id, event_type, key, envelope, created_at)
VALUES (%s, gen_random_uuid(), 't', 'k', '', now())
"""
OLD = """
INSERT INTO event_log (id, event_id, event_type, key, envelope, created_at, relayed_at)
SELECT g, gen_random_uuid(), 't', 'k', 'e', now(), now() - g * interval '1 hour'
FROM generate_series(1, 500) AS g
"""


def test_rows_rights_and_the_old_relay_stay(empty: Settings) -> None:
    """Up and down again: the same rows, owner and rights, and the old statement works."""
    migrate.upgrade(empty, BEFORE)
    with psycopg.connect(empty.require_database_url(), autocommit=True) as connection:

        def one(query: str) -> Any:
            return connection.execute(query).fetchone()

        count = "SELECT count(*), sum(id), min(relayed_at) FROM event_log"
        connection.execute(f"CREATE ROLE {ROLE}")
        connection.execute(f"GRANT SELECT, INSERT, DELETE ON event_log TO {ROLE}")
        connection.execute(OLD)
        rows, rights = one(count), one(RIGHTS)
        migrate.upgrade(empty, AFTER)
        assert (one(count), one(RIGHTS)) == (rows, rights)
        assert one("SELECT count(*) FROM event_log_first") == (500,)
        connection.execute(f"SET ROLE {ROLE}")
        connection.execute(MOVE, [1001])
        connection.execute("RESET ROLE")
        connection.execute("SELECT event_log_keep('-1 day')")  # the first partition is dropped
        assert one("SELECT count(*) FROM event_log") == (0,)
        connection.execute(MOVE, [1002])  # into the default
        connection.execute(
            MOVE.replace("created_at)", "created_at, relayed_at)").replace(
                "now())", "now(), now() + interval '2 days')"
            ),
            [1003],
        )
        rows = one(count)
        migrate.downgrade(empty, BEFORE)
        assert one(count) == rows
        connection.execute(f"DROP OWNED BY {ROLE}")
        connection.execute(f"DROP ROLE {ROLE}")


def test_partitions_are_no_drift(at_head: Settings) -> None:
    """What the relay has made and dropped is data: `cartsnitch db check` finds nothing."""
    assert find_drift(at_head) == ()
    with psycopg.connect(at_head.require_database_url(), autocommit=True) as connection:
        connection.execute("SELECT event_log_keep('7 days')")
        assert find_drift(at_head) == ()
        connection.execute("SELECT event_log_keep('-2 days')")
    assert find_drift(at_head) == ()
