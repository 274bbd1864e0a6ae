"""What a database holds, read from PostgreSQL's catalog, so that two can be compared."""

from __future__ import annotations

from typing import Any

import psycopg

from cartsnitch_common.db.migrate import VERSION_TABLE

Facts = dict[tuple[str, ...], tuple[Any, ...]]

QUERIES = {
    "table": """
        SELECT c.relname, '', obj_description(c.oid, 'pg_class'), c.reloptions, c.relkind
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
    """,
    "column": """
        SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.attnotnull,
               pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attcollation,
               col_description(c.oid, a.attnum)
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p')
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "constraint": """
        SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid), k.convalidated
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE c.relnamespace = 'public'::regnamespace
    """,
    "index": """
        SELECT c.relname, x.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
        FROM pg_index i
        JOIN pg_class c ON c.oid = i.indrelid JOIN pg_class x ON x.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace
    """,
    "sequence": """
        SELECT sequencename, '', data_type::text, start_value, increment_by, cycle
        FROM pg_sequences WHERE schemaname = 'public'
    """,
    "type": """
        SELECT t.typname, '', t.typtype, format_type(t.typbasetype, t.typtypmod)
        FROM pg_type t
        WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('e', 'd')
    """,
}


def catalog(url: str) -> Facts:
    """Everything in the schema public but the version table, by kind, table and name."""
    with psycopg.connect(url) as connection:
        return {
            (kind, *row[:2]): row[2:]
            for kind, query in QUERIES.items()
            for row in connection.execute(query)
            if row[0] != VERSION_TABLE
        }


def tables(facts: Facts) -> set[str]:
    """The names of the tables."""
    return {key[1] for key in facts if key[0] == "table"}


def constraints(facts: Facts, kind: str) -> dict[str, str]:
    """The constraints of one kind, such as ``c`` for CHECK: their definitions by name."""
    return {
        key[2]: value[1]
        for key, value in facts.items()
        if key[0] == "constraint" and value[0] == kind
    }
