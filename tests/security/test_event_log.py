"""The relay has the log's partitions made and dropped, without the power to do that itself."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from cartsnitch_common.db.roles import ROLES

pytestmark = [pytest.mark.servers, pytest.mark.xdist_group("security")]

PARTITIONS = """
SELECT c.relname, c.relowner::regrole::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'event_log'::regclass
"""


@pytest.mark.parametrize("role", [*ROLES, None])
def test_only_the_relay_keeps_the_log(connect: Any, role: str | None) -> None:
    """Nobody else may call the function, which drops what is to be replayed."""
    with connect(role) as connection:
        try:
            connection.execute("SELECT event_log_keep('7 days')")
            allowed = True
        except InsufficientPrivilege:
            allowed = False
        connection.rollback()
    assert allowed == (role in {"cartsnitch_owner", "cartsnitch_relay"})


def test_partitions_belong_to_the_schemas_owner(granted: str, connect: Any) -> None:
    """Those of the migration and those made since; the relay reaches them by the log only."""
    with connect("cartsnitch_relay") as relay:
        assert relay.execute("SELECT event_log_keep('7 days')").fetchone() == (True,)
        relay.commit()
        with psycopg.connect(granted) as admin:
            owners = dict(admin.execute(PARTITIONS).fetchall())
        assert set(owners.values()) == {"cartsnitch_owner"}
        assert len(owners) == 5
        for name in owners:
            for statement in ("SELECT FROM {}", "DELETE FROM {}", "DROP TABLE {}"):
                with pytest.raises(InsufficientPrivilege):
                    relay.execute(statement.format(name))
                relay.rollback()
