"""The statements of a relay's batch.

A relay takes some partitions of the outbox, reads their oldest rows, and moves to the
log what is published. The locks are the transaction's: no relay can believe that it
holds one that it has lost, and a connection pooler cannot share it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from cartsnitch_common.db.models.event import OUTBOX_PARTITION
from cartsnitch_common.events.names import RELAY_LOCKS
from cartsnitch_common.events.relay_publish import Pending

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection

PARTITIONS: Final = 64
"""How many the outbox has."""

MOST_PARTITIONS: Final = 16
"""Of one batch, so that others have work too."""

# In the order of the index, past dead rows only: a table that was just emptied is full of them.
_ANY: Final = text("SELECT id FROM event_outbox ORDER BY id LIMIT 1")

_WAITING: Final = text("""
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)
FROM (SELECT created_at FROM event_outbox ORDER BY id LIMIT 100000) AS oldest
""")

# CASE, because only what has rows may be locked. The planner's statistics know nothing of a
# table that is filled and emptied all day; what is right for the statements to come is to
# follow the indexes, and to plan that once.
_SETTINGS: Final = ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in (
        ("enable_bitmapscan", "off"),
        ("enable_seqscan", "off"),
        ("max_parallel_workers_per_gather", "0"),
        ("plan_cache_mode", "force_generic_plan"),
    )
)
_TAKE: Final = text(f"""
WITH first AS MATERIALIZED (
  SELECT pg_try_advisory_xact_lock_shared({RELAY_LOCKS}, 0) AS free, ARRAY[{_SETTINGS},
    set_config('idle_in_transaction_session_timeout', :stuck_after, true)] AS set
)
SELECT partition, set FROM first, unnest(CAST(:partitions AS int[])) AS partition
WHERE CASE WHEN free AND EXISTS (
  SELECT FROM event_outbox
  WHERE {OUTBOX_PARTITION} = partition AND event_type <> ALL (CAST(:without AS text[]))
) THEN pg_try_advisory_xact_lock({RELAY_LOCKS}, partition + 1) END
LIMIT {MOST_PARTITIONS}
""")

# Each branch is read in the order of the index, and no further than the batch goes.
_BRANCHES: Final = " UNION ALL ".join(
    f"""(
  SELECT id, event_type, envelope FROM event_outbox
  WHERE {OUTBOX_PARTITION} = (CAST(:partitions AS int[]))[{place}]
    AND event_type <> ALL (CAST(:without AS text[]))
  ORDER BY id LIMIT :most
)"""
    for place in range(1, MOST_PARTITIONS + 1)
)

_READ: Final = text(f"""
SELECT id, event_type, envelope FROM (
  SELECT *, sum(octet_length(envelope)) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING)
    - octet_length(envelope) AS before
  FROM ({_BRANCHES} ORDER BY id LIMIT :most) AS oldest
) AS counted
WHERE before < :bytes ORDER BY id
""")

# The time is that of the statement, under the batch's locks: see complete_until of event_log.
_MOVE: Final = text("""
WITH moved AS (
  DELETE FROM event_outbox WHERE id = ANY (CAST(:ids AS bigint[]))
  RETURNING id, event_id, event_type, key, envelope, created_at
)
INSERT INTO event_log (id, event_id, event_type, key, envelope, created_at, relayed_at)
SELECT id, event_id, event_type, key, envelope, created_at, statement_timestamp() FROM moved
""")

_TOUCH: Final = text("SELECT 1")


async def is_waiting(connection: AsyncConnection) -> bool:
    """Whether the outbox has a row."""
    return await connection.scalar(_ANY) is not None


async def count_waiting(connection: AsyncConnection) -> tuple[int, float]:
    """How many rows wait, up to 100,000, and how long the oldest has; unit: seconds."""
    count, oldest = (await connection.execute(_WAITING)).one()
    return count, max(0.0, float(oldest))


async def take(
    connection: AsyncConnection,
    partitions: Sequence[int],
    *,
    without: Collection[str],
    stuck_after: float,
) -> list[int]:
    """Lock partitions that have rows and are free, as many as a batch may have.

    What comes next must be a statement of its own: it sees what the last holder did.

    Args:
        connection: In a transaction, whose end is the end of the locks.
        partitions: In the order in which they are tried.
        without: Channels whose rows do not count.
        stuck_after: Unit: seconds without a statement after which PostgreSQL ends the
            session.
    """
    parameters = {
        "stuck_after": str(int(stuck_after * 1000)),
        "partitions": list(partitions),
        "without": list(without),
    }
    return list(await connection.scalars(_TAKE, parameters))


async def read(
    connection: AsyncConnection,
    partitions: Sequence[int],
    *,
    without: Collection[str],
    most: int,
    size: int,
) -> list[Pending]:
    """The oldest rows of partitions by id.

    Args:
        connection: In the transaction that has locked them.
        partitions: The partitions.
        without: Channels that are left out.
        most: How many rows.
        size: Unit: bytes of envelopes, beyond which only one more is read.
    """
    parameters = {
        "partitions": list(partitions),
        "without": list(without),
        "most": most,
        "bytes": size,
    }
    return [Pending(*row) for row in await connection.execute(_READ, parameters)]


async def move(connection: AsyncConnection, ids: Sequence[int]) -> None:
    """Move rows from the outbox to the log."""
    await connection.execute(_MOVE, {"ids": list(ids)})


async def touch(connection: AsyncConnection) -> None:
    """Show PostgreSQL that the relay is alive, and find out whether the transaction is.

    Raises:
        DatabaseUnavailableError: The session has ended, and with it the locks.
    """
    await connection.execute(_TOUCH)
