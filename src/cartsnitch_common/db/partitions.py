"""Where the partitions that there are differ from what a partition may be.

A job makes and drops them by day, so that they stand in no list of what is expected:
each has what its table has, and nothing of its own. Its rights are in ``rights.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

# As revision 0021 and event_log_keep name them, the table's name before it.
_NAMES: Final = "_(first|default|[0-9]{8})"

# What the table's own migration of the time before has left on the first one.
_LEFT: Final = ("event_log_first.ix_event_log_relayed_at",)

# As a session with SAME_WORDS shows the bound of a day or of the first partition.
_INSTANT: Final = r"""\(''(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[+-][\d:]+)''\)"""

# event_log_keep makes today and three days more, and makes none while a later one is there.
# A day is added, for the check may have begun before a midnight at which the job went on.
_AHEAD: Final = "interval '120 hours'"

_PARTS: Final = f"""
WITH ours AS (
  SELECT oid, relnamespace, relname FROM pg_class
  WHERE relnamespace = current_schema()::regnamespace AND relkind = 'p'
  AND relname = ANY(CAST(:tables AS text[]))
), parts AS (
  -- A name that is read later is a number where the job has dropped the partition meanwhile.
  SELECT c.*, ours.oid AS parent, CASE c.relnamespace WHEN ours.relnamespace THEN c.relname
    ELSE c.oid::regclass::text END AS name, '^' || ours.relname || '{_NAMES}$' AS pattern
  FROM ours JOIN pg_inherits ON inhparent = ours.oid JOIN pg_class c ON c.oid = inhrelid
)
"""

_AS_TABLES: Final = f"""
SELECT t.oid::regclass::text, 'is not attached to ' || ours.relname
FROM ours JOIN pg_class t ON t.relnamespace = ours.relnamespace
WHERE t.relname ~ ('^' || ours.relname || '{_NAMES}$') AND t.relkind IN ('r', 'p')
AND NOT t.relispartition
UNION ALL
SELECT ours.relname || '_default', 'is missing' FROM ours
WHERE NOT EXISTS (SELECT FROM pg_class t
  WHERE t.relnamespace = ours.relnamespace AND t.relname = ours.relname || '_default')
UNION ALL
SELECT name, what FROM parts, LATERAL (VALUES
  (name !~ pattern, 'is not part of the schema'),
  (relkind = 'p', 'is partitioned itself'),
  (relpersistence = 'u', 'is unlogged'),
  (relrowsecurity, 'has row security')
) AS a (applies, what) WHERE applies
UNION ALL
SELECT name, 'has the option ' || option FROM parts, unnest(reloptions) AS option
"""

_BOUNDS: Final = f"""
SELECT name, what FROM parts,
LATERAL (SELECT pg_get_expr(relpartbound, oid) AS bound) AS b,
LATERAL (SELECT CAST(substring(bound FROM 'FROM {_INSTANT} TO') AS timestamptz) AS since,
  CAST(substring(bound FROM ' TO {_INSTANT}$') AS timestamptz) AS until) AS i,
LATERAL (VALUES
  (name ~ '_default$' AND bound <> 'DEFAULT', 'is not the default partition'),
  (name ~ '_first$' AND (bound NOT LIKE '%FROM (MINVALUE) TO%' OR until IS NULL
    OR until <> date_trunc('day', until, 'UTC')), 'does not end the past at a midnight of UTC'),
  (name ~ '_[0-9]{{8}}$' AND (since IS NULL OR until IS NULL
    OR since <> date_trunc('day', since, 'UTC') OR until <> since + interval '24 hours'
    OR to_char(since AT TIME ZONE 'UTC', '_YYYYMMDD') <> substring(name FROM '_[0-9]{{8}}$')),
    'does not hold the day of its name, in UTC'),
  (until > now() + {_AHEAD}, 'ends later than what event_log_keep makes, which so makes no day')
) AS a (applies, what) WHERE applies AND bound IS NOT NULL AND name ~ pattern
"""

_BELOW: Final = """
SELECT name, format('column %I has another default', a.attname)
FROM parts JOIN pg_attribute a ON a.attrelid = parts.oid
JOIN pg_attribute p ON p.attrelid = parent AND p.attname = a.attname
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_attrdef e ON e.adrelid = p.attrelid AND e.adnum = p.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
AND pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM pg_get_expr(e.adbin, e.adrelid)
UNION ALL
SELECT name, format('index %I %s', x.relname,
  CASE WHEN x.relispartition THEN 'is invalid' ELSE 'is not part of the schema' END)
FROM parts JOIN pg_index i ON i.indrelid = parts.oid JOIN pg_class x ON x.oid = i.indexrelid
WHERE NOT (x.relispartition OR name || '.' || x.relname = ANY(CAST(:left AS text[])))
OR NOT (indisvalid AND indisready)
UNION ALL
SELECT name, format('%s %I is not part of the schema', kind, own)
FROM parts, LATERAL (
  SELECT 'constraint', conname FROM pg_constraint WHERE conrelid = parts.oid
    AND contype IN ('c', 'f', 'p', 'u', 'x') AND conparentid = 0 AND coninhcount = 0
  UNION ALL
  SELECT 'trigger', tgname FROM pg_trigger
    WHERE tgrelid = parts.oid AND tgparentid = 0 AND NOT tgisinternal
  UNION ALL
  SELECT 'rule', rulename FROM pg_rewrite WHERE ev_class = parts.oid
  UNION ALL
  SELECT 'policy', polname FROM pg_policy WHERE polrelid = parts.oid
  UNION ALL
  SELECT 'statistics', stxname FROM pg_statistic_ext WHERE stxrelid = parts.oid
) AS a (kind, own)
"""

_QUERY: Final = text(f"{_PARTS} {_AS_TABLES} UNION ALL {_BOUNDS} UNION ALL {_BELOW}")


def find_partition_drift(connection: Connection, tables: Sequence[str]) -> tuple[str, ...]:
    """Every difference of the partitions of these tables, one line each; nothing is written.

    Args:
        connection: With ``SAME_WORDS``.
        tables: The names of what may have partitions.
    """
    found = connection.execute(_QUERY, {"tables": list(tables), "left": list(_LEFT)})
    return tuple(sorted(f"partition {name}: {what}" for name, what in found))
