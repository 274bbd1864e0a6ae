"""A runner that is killed in the midst of a backfill, with the rows of a batch half written."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from alembic.script import ScriptDirectory

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate
from cartsnitch_common.db.revisions import alembic_config
from tests.migration.conftest import History
from tests.migration.test_kills import wait_for

PRODUCTS = 5000

LOAD = f"""
INSERT INTO stores (name, slug) VALUES ('M', 'meijer'), ('K', 'kroger');
INSERT INTO normalized_products (id, canonical_name, brand)
  SELECT lpad(to_hex(g), 32, '0')::uuid, 'Milk ' || g, 'Brand'
  FROM generate_series(1, {PRODUCTS}) g;
INSERT INTO price_history (normalized_product_id, store_id, observed_date, regular_price, source)
  SELECT p.id, s.id, date '2026-01-01' + d, d, 'catalog'
  FROM normalized_products p, stores s, generate_series(1, 2) d;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """A revision that fills a table from rows that are there, and what shows that it is right."""

    revision: str
    """The one that fills; the one before it made the table and its triggers."""

    table: str
    batch: int
    """Products of a batch; each is begun with the last one of the batch before."""

    rows: int
    """Rows of a product."""

    held: str
    """What another transaction does meanwhile with a product of the second batch.

    Its trigger writes the row that the batch then waits for, when it has written others.
    """

    wrong: str
    """The rows that are missing, too many or other than their source says."""


PRICES = Backfill(
    revision="0014_current_prices_filled",
    table="current_prices",
    batch=1000,
    rows=2,
    held="INSERT INTO price_history"
    " (normalized_product_id, store_id, observed_date, regular_price, source)"
    " SELECT lpad(to_hex(1500), 32, '0')::uuid, max(CAST(id AS text))::uuid, '2026-12-01', 9,"
    " 'catalog' FROM stores",
    wrong="""
        (SELECT normalized_product_id, store_id, id, observed_date, regular_price FROM {table})
        EXCEPT {latest} UNION ALL ({latest} EXCEPT
        SELECT normalized_product_id, store_id, id, observed_date, regular_price FROM {table})
    """.format(
        table="current_prices",
        latest="""(SELECT DISTINCT ON (normalized_product_id, store_id)
            normalized_product_id, store_id, id, observed_date, regular_price FROM price_history
            ORDER BY normalized_product_id, store_id, observed_date DESC, id DESC)""",
    ),
)
NAMES = Backfill(
    revision="0016_product_names_filled",
    table="product_names",
    batch=2000,
    rows=1,
    held="UPDATE normalized_products SET canonical_name = 'Cream'"
    " WHERE id = lpad(to_hex(3000), 32, '0')::uuid",
    wrong="""
        SELECT p.id FROM normalized_products p
        FULL JOIN product_names n ON n.normalized_product_id = p.id
        WHERE n.tokens IS DISTINCT FROM product_name_tokens(
          concat_ws(' ', p.brand, p.canonical_name, p.size, p.size_unit))
    """,
)

WAITING = """
    SELECT pid FROM pg_stat_activity WHERE datname = current_database()
    AND query LIKE '%LOOP%INSERT INTO public.{} %' AND wait_event_type = 'Lock'
"""


@pytest.mark.parametrize("backfill", [PRICES, NAMES], ids=lambda backfill: backfill.table)
@pytest.mark.parametrize("orphaned", [False, True], ids=["ended", "orphaned"])
def test_a_runner_that_is_killed_within_a_batch_heals(
    history: History, empty: Settings, empty_database: str, backfill: Backfill, *, orphaned: bool
) -> None:
    """SIGKILL when the first batch is committed and the second half written; every row is right.

    The server ends the dead runner's statement, or goes on with it while the next run is at
    the same rows.
    """
    before = at(empty, backfill)
    assert migrate.current(empty) == before
    with (
        psycopg.connect(empty_database, autocommit=True) as connection,
        psycopg.connect(empty_database) as other,
    ):
        there = count(connection, backfill)
        other.execute(backfill.held)
        runner = history.start(empty_database)
        runner.wait_until_ready()
        runner.go()
        (pid,) = wait_for(connection, WAITING.format(backfill.table))
        os.kill(runner.process.pid, signal.SIGKILL)
        runner.kill()
        first = backfill.batch * backfill.rows
        assert (there, count(connection, backfill)) == (0, first), "it is not in its second batch"
        assert migrate.current(empty) == before
        if not orphaned:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            assert count(connection, backfill) == first
        again = history.start(empty_database)
        try:
            again.wait_until_ready()
            again.go()
            wait_for(connection, f"{WAITING.format(backfill.table)} AND pid <> {pid}")
            other.commit()
            after, applied = again.answer()
        finally:
            again.kill()
        assert (after,) == migrate.heads()
        assert applied[0] == backfill.revision
        assert count(connection, backfill) == PRODUCTS * backfill.rows
        assert connection.execute(backfill.wrong).fetchall() == []


def at(settings: Settings, backfill: Backfill) -> str:
    """Load the rows before their triggers are made, and go to the revision before the one."""
    scripts = ScriptDirectory.from_config(alembic_config())
    before = scripts.get_revision(backfill.revision).down_revision
    assert isinstance(before, str)
    migrate.upgrade(settings, scripts.get_revision(before).down_revision)
    with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
        connection.execute(LOAD)
    migrate.upgrade(settings, before)
    return before


def count(connection: psycopg.Connection[Any], backfill: Backfill) -> int:
    found = connection.execute(f"SELECT count(*) FROM {backfill.table}").fetchone()
    assert found is not None
    return found[0]
