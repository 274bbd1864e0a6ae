"""Texts hold every letter: a database that cannot keep some is refused as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from cartsnitch_common.config import Settings
from cartsnitch_common.db import Database, migrate
from cartsnitch_common.db.drift import find_drift
from cartsnitch_common.db.engine import (
    async_engine,
    check_database,
    check_database_sync,
    sync_engine,
)
from cartsnitch_common.embedded import EmbeddedServers
from cartsnitch_common.errors import SettingError
from tests.integration.engine.either import run, states, until

REASON = "the database's encoding must be UTF8, and is"


@pytest.fixture(params=["LATIN1", "EUC_JP", "SQL_ASCII"])
def encoding(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def other(servers: EmbeddedServers, encoding: str) -> Iterator[str]:
    """The URL of an empty database in another encoding."""
    name = f"encoded_{encoding.lower()}"
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
        yield urlsplit(servers.database_url)._replace(path=f"/{name}").geturl()
        connection.execute(f"DROP DATABASE {name} (FORCE)")


async def test_the_setting_is_told_at_the_first_connection(other: str, encoding: str) -> None:
    """Under both drivers, with and without their errors; the connection is closed."""
    told = f"^CARTSNITCH_DATABASE_URL: {REASON} {encoding}$"
    settings = Settings.load(database_url=other)
    for driver_errors in (False, True):
        pool = async_engine(settings, driver_errors=driver_errors, pool_size=1, max_overflow=0)
        blocking = sync_engine(settings, driver_errors=driver_errors, pool_size=1, max_overflow=0)
        for _ in range(2):  # and at the second, which a pool of one connection would not have
            with pytest.raises(SettingError, match=told):
                await run(pool, "SELECT 1")
            with pytest.raises(SettingError, match=told):
                await run(blocking, "SELECT 1")
        await pool.dispose()
        blocking.dispose()
    with pytest.raises(SettingError, match=told):
        await check_database(settings)
    with pytest.raises(SettingError, match=told):
        check_database_sync(settings)
    await until(lambda: states(other) == [])


async def test_a_replicas_setting_is_told(other: str, encoding: str, database: str) -> None:
    """The error names the address that leads to it."""
    settings = Settings.load(database_url=database, database_replica_url=other)
    told = f"^CARTSNITCH_DATABASE_REPLICA_URL: {REASON} {encoding}$"
    async with Database(settings) as served:
        with pytest.raises(SettingError, match=told):
            await served.check()
        with pytest.raises(SettingError, match=told), served.sync_read_engine.connect():
            pass


def test_nothing_is_migrated(other: str, encoding: str) -> None:
    """No command of an operator begins on it."""
    settings = Settings.load(database_url=other)
    for ask in (migrate.upgrade, migrate.check, migrate.require_schema, find_drift):
        with pytest.raises(SettingError, match=f"^CARTSNITCH_DATABASE_URL: {REASON} {encoding}$"):
            ask(settings)
    with psycopg.connect(other) as connection:
        made = "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        assert connection.execute(made).fetchone() == (0,)


@pytest.mark.parametrize("way", ["role", "variable"])
async def test_a_clients_encoding_is_not_taken_from_elsewhere(
    own: Settings, database: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a role or the environment of a process says would lose letters between it and us."""
    if way == "role":
        with psycopg.connect(database, autocommit=True) as connection:
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET client_encoding = 'latin1'")
    else:
        monkeypatch.setenv("PGCLIENTENCODING", "latin1")
    engine, blocking = async_engine(own), sync_engine(own)
    for each in (engine, blocking):
        rows = await run(each, "SELECT CAST(:t AS text), ascii(:t)", t="ラ")
        assert rows == [("ラ", ord("ラ"))]
    await engine.dispose()
    blocking.dispose()
