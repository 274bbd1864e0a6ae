"""What clients notice of a migration."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db import migrate, operations
from tests.migration.conftest import History

ROWS = 200_000
WORST = 0.3  # seconds
HELD = 3.0  # seconds
TABLES = "0012_event_inbox"
"""The last of the revisions that make the tables; those after it change what has rows."""

LOAD = f"""
INSERT INTO stores (name, slug) VALUES ('M', 'meijer'), ('K', 'kroger');
INSERT INTO normalized_products (canonical_name) SELECT 'p' || g FROM generate_series(1, 1000) g;
INSERT INTO price_history (normalized_product_id, store_id, observed_date, regular_price, source)
  SELECT p.id, s.id, date '2026-01-01' + d, 1, 'catalog'
  FROM normalized_products p, stores s, generate_series(1, {ROWS // 2000}) d;
ANALYZE;
"""
READ = "SELECT count(*) FROM price_history WHERE normalized_product_id = %s"
WRITE = """
INSERT INTO price_history (normalized_product_id, store_id, observed_date, regular_price, source)
SELECT %s, id, '2026-12-01', 2, 'catalog' FROM stores LIMIT 1
"""
HOLD = "UPDATE price_history SET source = source WHERE normalized_product_id = %s"

# The same on a table that no migration touches: what delays these is the machine.
MACHINE = """
CREATE TABLE machine (product uuid, at timestamptz);
CREATE INDEX ON machine (product);
"""
READ_BESIDE = "SELECT count(*) FROM machine WHERE product = %s AND at > now() - interval '1 s'"
WRITE_BESIDE = "INSERT INTO machine VALUES (%s, now())"

COLUMN = "op.add_column('price_history', sa.Column('note_{number}', sa.Text()))"
CHECK = (
    'op.execute("ALTER TABLE price_history ADD CONSTRAINT ck_{number}'
    ' CHECK (regular_price < 1000) NOT VALID")'
)
INDEX = """\
with op.get_context().autocommit_block():
        op.create_index("ix_{number}", "price_history", ["source"], postgresql_concurrently=True)
"""


type Span = tuple[float, float]
"""When a statement began and ended. Unit: seconds."""


@dataclass(frozen=True, slots=True)
class Load:
    """What clients did while a migration ran."""

    clients: list[Span]
    machine: list[Span]
    """The statements on the table beside it."""

    def worst(self) -> float:
        """The longest time that a client waited and the machine did not. Unit: seconds."""
        return max(self.net(client) for client in self.clients)

    def net(self, client: Span) -> float:
        """How long a statement took, less the longest that one beside it took meanwhile."""
        begin, end = client
        stalls = (min(end, until) - max(begin, since) for since, until in self.machine)
        return end - begin - max(0.0, *stalls)


@contextmanager
def clients(url: str, product: Any) -> Iterator[Load]:
    """Two readers and two writers of the table, and a reader and a writer of one beside it."""
    load = Load([], [])
    done = threading.Event()

    def work(statement: str, spans: list[Span]) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not done.wait(0.005):
                begin = time.monotonic()
                connection.execute(statement, [product])
                spans.append((begin, time.monotonic()))

    each = [*[(READ, load.clients), (WRITE, load.clients)] * 2]
    each += [(READ_BESIDE, load.machine), (WRITE_BESIDE, load.machine)]
    threads = [threading.Thread(target=work, args=args) for args in each]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        done.set()
        for thread in threads:
            thread.join()


@contextmanager
def long_transaction(url: str, product: Any) -> Iterator[None]:
    """A transaction that keeps what it wrote to itself for three seconds."""
    begun = threading.Event()

    def hold() -> None:
        with psycopg.connect(url) as connection:
            connection.execute(HOLD, [product])
            begun.set()
            time.sleep(HELD)

    thread = threading.Thread(target=hold)
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        thread.join()


def test_no_client_waits_long_for_a_migration(
    history: History, at_head: Settings, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200,000 rows, readers, writers, and a transaction of 3 s that the migration waits for.

    In each of three runs the worst statement of a client takes less than 300 ms, beyond what
    statements on another table take at that moment, which wait for the machine alone. Without
    the limit on the migration's locks it takes seconds, which shows that the clients are in
    its way and that the others do not hide it.
    """
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(LOAD)
        connection.execute(MACHINE)
        products = connection.execute("SELECT id FROM normalized_products LIMIT 2").fetchall()
    (used,), (held,) = products
    number = 0

    def run(migrations: list[str]) -> Load:
        nonlocal number
        made = None
        for up in migrations:
            number += 1
            made = history.add(f"step_{number}", up.format(number=number))
        with clients(database, used) as load, long_transaction(database, held):
            start = time.monotonic()
            assert migrate.upgrade(at_head).after == made
            assert time.monotonic() - start > HELD / 2, "it did not have to wait"
        return load

    worst = [run([COLUMN, CHECK, INDEX]).worst() for _ in range(3)]
    assert max(worst) < WORST, worst
    monkeypatch.setattr(operations, "LIMITS", "SELECT 1")
    assert run([COLUMN]).worst() > HELD / 2


def test_no_client_waits_long_for_our_own_migrations(empty: Settings, empty_database: str) -> None:
    """The revisions that came after the tables, on 200,000 rows and under the same load.

    Among them are those that fill tables, build indexes and put triggers on what clients write.
    """
    migrate.upgrade(empty, TABLES)
    with psycopg.connect(empty_database, autocommit=True) as connection:
        connection.execute(LOAD)
        connection.execute(MACHINE)
        products = connection.execute("SELECT id FROM normalized_products LIMIT 2").fetchall()
    (used,), (held,) = products
    with clients(empty_database, used) as load, long_transaction(empty_database, held):
        start = time.monotonic()
        assert len(migrate.upgrade(empty).applied) > 10
        assert time.monotonic() - start > HELD / 2, "it did not have to wait"
    assert load.worst() < WORST


def test_a_stall_of_the_machine_is_no_migrations_doing() -> None:
    """What is taken off is what one statement beside it took at the same time, and no more."""
    beside = [(0.0, 0.01), (1.0, 1.5), (1.1, 1.4), (2.0, 2.01), (2.02, 2.03)]
    load = Load([(0.9, 1.6), (2.0, 2.4), (5.0, 5.1)], beside)
    assert [round(load.net(client), 3) for client in load.clients] == [0.2, 0.39, 0.1]
    assert round(load.worst(), 3) == 0.39
