"""Rows for every table of any revision, made in SQL from what the catalog says of its columns.

A new table needs nothing here, unless a CHECK wants a form that no rule below makes.
"""

from __future__ import annotations

import re
from typing import Any

import psycopg
from psycopg import sql

from cartsnitch_common.db.revisions import VERSION_TABLE

ROWS = 1000

# The number of the row is g. By the name of the column, then by its type.
NAMED = [
    (r"email", "'user' || g || '@parent.example'"),
    (r".*_url", "'https://a.example/' || g"),
    (r"state", "'MI'"),
    (r"zip", "lpad(g::text, 5, '0')"),
    (r"upc", "lpad(g::text, 12, '0')"),
    (r"upc_variants", "jsonb_build_array(lpad(g::text, 12, '0'))"),
    (r"source", "'receipt'"),
]
TYPED = [
    (r"uuid", "md5('row' || g)::uuid"),
    (r"(character varying|text).*", "'w' || g"),
    (r"numeric\(5,4\)", "(g % 10000) / 10000.0"),
    (r"numeric.*|double precision", "g % 90 + 0.25"),
    (r"bigint|integer|smallint", "g"),
    (r"boolean", "g % 2 = 0"),
    (r"date", "date '2026-01-01' + g % 365"),
    (r"timestamp.*", "timestamptz '2026-01-01 00:00:00+00' + g * interval '1 minute'"),
    (r"bytea", "decode(md5(g::text), 'hex')"),
    (r"jsonb", "jsonb_build_object('n', g)"),
    (r"tsvector", "to_tsvector('simple', 'w' || g)"),
    (r"(text|character varying)\[\]", "ARRAY['w' || g]"),
]

COLUMNS = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  (SELECT confrelid::regclass::text FROM pg_constraint k
    WHERE k.conrelid = a.attrelid AND k.contype = 'f' AND k.conkey = ARRAY[a.attnum]),
  (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint k
    WHERE k.conrelid = a.attrelid AND k.contype = 'c' AND k.conkey = ARRAY[a.attnum]
    AND pg_get_constraintdef(k.oid) ~ 'ARRAY')
FROM pg_attribute a WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
AND a.attidentity <> 'a' AND a.attgenerated = '' ORDER BY a.attnum
"""


def tables(connection: psycopg.Connection[Any]) -> list[str]:
    """Every table of ours: parents before children, and last what triggers fill."""
    parents: dict[str, set[str]] = {
        name: set(found) - {name}
        for name, found in connection.execute(
            """
            SELECT c.relname, coalesce(array_agg(p.relname::text) FILTER (WHERE p.oid IS NOT NULL),
              '{}') FROM pg_class c
            LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f'
            LEFT JOIN pg_class p ON p.oid = k.confrelid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND c.relname <> %s GROUP BY c.relname
            """,
            [VERSION_TABLE],
        )
    }
    kept = derived(connection)
    ordered: list[str] = []
    while len(ordered) < len(parents):
        free = {name for name in parents.keys() - ordered if parents[name] <= set(ordered)}
        ordered.append(min(free, key=lambda name: (name in kept, name)))
    return ordered


def derived(connection: psycopg.Connection[Any]) -> set[str]:
    """The tables whose rows functions make of other tables' rows."""
    query = "SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    sources = " ".join(row[0] for row in connection.execute(query))
    return set(re.findall(r"INSERT INTO public\.(\w+)", sources))


def fill(connection: psycopg.Connection[Any]) -> None:
    """Put 1,000 rows into every table that has fewer, or as many as its values allow."""
    for table in tables(connection):
        name = sql.Identifier(table)
        found = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
        assert found is not None
        if not found[0]:
            _fill(connection, table)
            connection.execute(sql.SQL("ANALYZE {}").format(name))


def checksums(
    connection: psycopg.Connection[Any], columns: dict[str, list[str]]
) -> dict[str, tuple[int, str]]:
    """The number of rows and a checksum over these columns, of each table that is named."""
    return {
        table: connection.execute(
            sql.SQL(
                "SELECT count(*), md5(string_agg(line, '' ORDER BY line))"
                " FROM (SELECT ROW({})::text AS line FROM {}) AS lines"
            ).format(sql.SQL(", ").join(map(sql.Identifier, names)), sql.Identifier(table))
        ).fetchone()
        or (0, "")
        for table, names in columns.items()
    }


def columns(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """The columns of every table."""
    query = """
        SELECT attname FROM pg_attribute
        WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attname
    """
    return {
        table: [row[0] for row in connection.execute(query, [table])]
        for table in tables(connection)
    }


def _fill(connection: psycopg.Connection[Any], table: str) -> None:
    names, values, joins, most = [], [], [], ROWS
    for name, kind, not_null, parent, values_list in connection.execute(COLUMNS, [table]):
        names.append(name)
        listed = re.findall(r"'([^']*)'", values_list or "")
        if parent:
            # As many parents as there are, from the first on: pairs with another key differ.
            alias = f"p{len(joins)}"
            joins.append(
                f"JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS c"
                f" FROM {parent}) AS {alias} ON {alias}.n = 1 + g % {alias}.c"
            )
            value = f"{alias}.id"
        elif named := _first(NAMED, name):
            value = named
        elif listed:
            value = f"(ARRAY{listed})[1 + g % {len(listed)}]"
            if _is_unique(connection, table, name):
                most = len(listed)
        else:
            value = _first(TYPED, kind) or f"NULL::{kind}"
        # Together, because some columns are set or NULL together.
        values.append(value if not_null else f"CASE WHEN g % 3 > 0 THEN {value} END")
    connection.execute(
        f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)}"  # type: ignore[arg-type]
        f" FROM generate_series(0, {most - 1}) AS g {' '.join(joins)}"
    )


def _first(rules: list[tuple[str, str]], text: str) -> str | None:
    return next((value for pattern, value in rules if re.fullmatch(pattern, text)), None)


def _is_unique(connection: psycopg.Connection[Any], table: str, column: str) -> bool:
    query = """
        SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid
        WHERE i.indrelid = %s::regclass AND i.indisunique AND i.indkey::text = a.attnum::text
        AND a.attname = %s
    """
    return connection.execute(query, [table, column]).fetchone() is not None
