"""A streaming standby of an embedded PostgreSQL, promoted and demoted as in a fail-over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from cartsnitch_common.embedded import PostgresServer
from cartsnitch_common.embedded.programs import usable_postgres


class Standby(PostgresServer):
    """A copy of a primary that follows it.

    Args:
        primary: A server that runs and has no clients yet: it is stopped to be copied.
    """

    def __init__(self, primary: PostgresServer, *, settings: dict[str, str]) -> None:
        super().__init__(settings=settings)
        self._primary = primary
        self._password = primary.password

    def _prepare(self) -> None:
        self._programs, _ = usable_postgres(self._runtime)
        self._runtime.make_folder(self.name)
        self._primary.stop()
        shutil.copytree(self._primary._data, self._data)
        self._primary.start()
        follow(self, self._primary)


def follow(server: PostgresServer, primary: PostgresServer) -> None:
    """Make a server that does not run a standby of another one."""
    data = server._data
    address = f"host=127.0.0.1 port={primary.port} user=cartsnitch password={primary.password}"
    (data / "standby.signal").touch()
    with (data / "postgresql.auto.conf").open("a") as settings:
        settings.write(f"primary_conninfo = '{address}'\n")
    if (account := server._runtime.account) is not None:
        for path in [data, *data.rglob("*")]:
            os.chown(path, account.uid, account.gid)


def promote(server: PostgresServer) -> None:
    """Make a standby the primary, and wait until it is."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


def caught_up(primary: PostgresServer, standby: PostgresServer) -> None:
    """Wait until the standby has replayed all that the primary has written."""
    with (
        psycopg.connect(primary.url, autocommit=True) as first,
        psycopg.connect(standby.url, autocommit=True) as second,
    ):
        row = first.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
        ask = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
        while second.execute(ask, row).fetchone() != (True,):
            pass


@contextmanager
def primary_and_standby() -> Iterator[tuple[PostgresServer, Standby]]:
    """Two servers of one cluster; the standby soon ends what stands in its way."""
    settings = {"max_standby_streaming_delay": "100ms", "wal_retrieve_retry_interval": "100ms"}
    with (
        PostgresServer(settings=settings) as primary,
        Standby(primary, settings=settings) as standby,
    ):
        yield primary, standby


def both(primary: PostgresServer, standby: PostgresServer) -> str:
    """One URL of both servers, which leads to the one that takes writes."""
    hosts = f"host=127.0.0.1:{primary.port}&host=127.0.0.1:{standby.port}"
    user = f"cartsnitch:{primary.password}"
    return f"postgresql://{user}@/cartsnitch?{hosts}&target_session_attrs=read-write"
