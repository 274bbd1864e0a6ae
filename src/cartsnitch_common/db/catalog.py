"""What a schema consists of, read from PostgreSQL's catalog in words that can be compared.

PostgreSQL 15 to 18 give the same words: a NOT NULL is told of its column, not as
the constraint that it is since 18, where old rows may break it. The schema's name is
left out: it is public, where the migrations make everything and the functions look for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

type Facts = dict[str, dict[str, str]]
"""What is true of each object: ``{"column stores.name": {"type": "text", ...}, ...}``.

A key is a kind, a space and a name; the name of what belongs to a table begins
with the table's and a dot. What an object does not have is left out.
"""

SAME_WORDS: Final = (
    "SET LOCAL search_path = public;"
    "SET LOCAL quote_all_identifiers = off; SET LOCAL standard_conforming_strings = on;"
    "SET LOCAL datestyle = 'ISO, MDY'; SET LOCAL intervalstyle = 'postgres';"
    "SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1"
)
"""What a transaction begins with that reads the catalog.

A server, a database or a role may have other settings, of which each changes the words.
"""

# The tables to look at, without the partitions that a job makes and drops; see partitions.py.
_OURS: Final = """
WITH schema AS (
  SELECT oid, quote_ident(nspname) || '.' AS prefix FROM pg_namespace
  WHERE nspname = current_schema()
), ours AS (
  SELECT c.*, prefix FROM pg_class c JOIN schema s ON s.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'v', 'm')
  AND coalesce(c.relname = ANY(CAST(:tables AS text[])), NOT c.relispartition)
)
"""

_TABLES: Final = """
SELECT relname AS name,
  CASE relkind WHEN 'r' THEN NULL WHEN 'p' THEN pg_get_partkeydef(oid)
    ELSE pg_get_viewdef(oid) END AS definition,
  CASE relpersistence WHEN 'u' THEN 'unlogged' END AS persistence,
  CASE relreplident WHEN 'f' THEN 'full' WHEN 'n' THEN 'nothing' WHEN 'i' THEN 'index' END
    AS replica_identity,
  CASE WHEN relforcerowsecurity THEN 'forced' WHEN relrowsecurity THEN 'on' END AS row_security,
  (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(reloptions) o) AS options,
  (SELECT string_agg('toast.' || o, ', ' ORDER BY o)
    FROM pg_class t, unnest(t.reloptions) o WHERE t.oid = ours.reltoastrelid) AS toast_options,
  (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno)
    FROM pg_inherits WHERE inhrelid = oid) AS inherits,
  (SELECT string_agg(inhrelid::regclass::text, ', ' ORDER BY inhrelid::regclass::text)
    FROM pg_inherits WHERE inhparent = oid AND relkind <> 'p') AS inherited_by,
  obj_description(oid, 'pg_class') AS comment
FROM ours
"""

_COLUMNS: Final = """
SELECT relname || '.' || attname AS name,
  format_type(atttypid, atttypmod) AS type,
  CASE WHEN NOT attnotnull THEN 'null' WHEN EXISTS (SELECT FROM pg_constraint k
    WHERE conrelid = attrelid AND contype = 'n' AND conkey = ARRAY[attnum] AND NOT convalidated)
    THEN 'not null, not valid' ELSE 'not null' END AS nullability,
  CASE attgenerated WHEN '' THEN pg_get_expr(adbin, adrelid) END AS "default",
  CASE WHEN attgenerated <> '' THEN concat_ws(' ', pg_get_expr(adbin, adrelid),
    CASE attgenerated WHEN 's' THEN 'stored' ELSE 'virtual' END) END AS generated,
  CASE attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END AS identity,
  CASE WHEN s.seqrelid IS NOT NULL THEN concat_ws(' ', format_type(seqtypid, NULL), 'from',
    seqstart, 'by', seqincrement, 'within', seqmin, seqmax, CASE WHEN seqcycle THEN 'cycle' END,
    CASE WHEN seqcache <> 1 THEN 'cached by ' || seqcache END) END AS sequence,
  CASE WHEN attcollation <> typcollation THEN attcollation::regcollation::text END AS collation,
  CASE attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
  CASE WHEN attstorage <> typstorage THEN attstorage::text END AS storage,
  CASE WHEN attstattarget >= 0 THEN attstattarget::text END AS statistics,
  (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(attoptions) o) AS options,
  col_description(attrelid, attnum) AS comment
FROM ours JOIN pg_attribute a ON a.attrelid = ours.oid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN (pg_depend p JOIN pg_sequence s ON s.seqrelid = p.objid) ON p.refobjid = a.attrelid
  AND p.refobjsubid = a.attnum AND p.classid = 'pg_class'::regclass AND p.deptype IN ('a', 'i')
WHERE attnum > 0 AND NOT attisdropped
"""

_CONSTRAINTS: Final = """
SELECT relname || '.' || conname AS name,
  replace(pg_get_constraintdef(k.oid), prefix, '') AS definition,
  (SELECT string_agg(DISTINCT CASE tgenabled WHEN 'D' THEN 'disabled'
    ELSE tgenabled::text END, ', ') FROM pg_trigger
    WHERE tgconstraint = k.oid AND tgisinternal AND tgenabled <> 'O') AS enforcement,
  obj_description(k.oid, 'pg_constraint') AS comment
FROM ours JOIN pg_constraint k ON k.conrelid = ours.oid WHERE contype IN ('c', 'f', 'p', 'u', 'x')
"""

_INDEXES: Final = """
SELECT ours.relname || '.' || x.relname AS name,
  replace(pg_get_indexdef(indexrelid), prefix, '') AS definition,
  CASE WHEN indisvalid AND indisready THEN NULL ELSE 'invalid' END AS state,
  obj_description(indexrelid, 'pg_class') AS comment
FROM ours JOIN pg_index i ON i.indrelid = ours.oid JOIN pg_class x ON x.oid = i.indexrelid
"""

_TRIGGERS: Final = """
SELECT relname || '.' || tgname AS name,
  replace(pg_get_triggerdef(t.oid), prefix, '') AS definition,
  CASE tgenabled WHEN 'O' THEN NULL WHEN 'D' THEN 'disabled' ELSE tgenabled::text END AS state,
  obj_description(t.oid, 'pg_trigger') AS comment
FROM ours JOIN pg_trigger t ON t.tgrelid = ours.oid WHERE NOT tgisinternal
"""

_RULES: Final = """
SELECT tablename || '.' || rulename AS name, replace(r.definition, prefix, '') AS definition
FROM ours JOIN pg_rules r ON r.tablename = relname AND r.schemaname = current_schema()
UNION ALL
SELECT tablename || '.' || policyname, concat_ws(' ', permissive, cmd, 'TO', roles::text,
  'USING', qual, 'CHECK', with_check)
FROM ours JOIN pg_policies p ON p.tablename = relname AND p.schemaname = current_schema()
"""

_STATISTICS: Final = """
SELECT relname || '.' || stxname AS name,
  replace(pg_get_statisticsobjdef(e.oid), prefix, '') AS definition
FROM ours JOIN pg_statistic_ext e ON e.stxrelid = ours.oid
"""

# Those of another program are not ours to judge, unless a trigger of ours calls them.
_FUNCTIONS: Final = """
SELECT proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name,
  replace(pg_get_functiondef(p.oid), prefix, '') AS definition,
  (SELECT 'public' FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
    WHERE grantee = 0) AS callers,
  obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p JOIN schema s ON s.oid = p.pronamespace
WHERE prokind IN ('f', 'p')
AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
AND (CAST(:functions AS text[]) IS NULL OR proname = ANY(CAST(:functions AS text[]))
  OR p.oid IN (SELECT tgfoid FROM pg_trigger JOIN ours ON tgrelid = ours.oid))
"""

_QUERIES: Final = {
    "table": _TABLES,
    "column": _COLUMNS,
    "constraint": _CONSTRAINTS,
    "index": _INDEXES,
    "trigger": _TRIGGERS,
    "rule": _RULES,
    "statistics": _STATISTICS,
    "function": _FUNCTIONS,
}


def read_catalog(
    connection: Connection,
    *,
    tables: Sequence[str] | None = None,
    functions: Sequence[str] | None = None,
) -> Facts:
    """Read what the current schema holds, the table of the migrations too.

    Args:
        connection: Any; nothing is written.
        tables: Only these, and what belongs to them; None for all.
        functions: Only these by name, and those that the tables' triggers call;
            None for all.

    Returns:
        The facts, in the order of their keys.
    """
    names = {
        "tables": None if tables is None else list(tables),
        "functions": None if functions is None else list(functions),
    }
    found = {
        f"{kind} {row['name']}": {
            attribute: value for attribute, value in row.items() if attribute != "name" and value
        }
        for kind, query in _QUERIES.items()
        for row in connection.execute(text(_OURS + query), names).mappings()
    }
    return dict(sorted(found.items()))
