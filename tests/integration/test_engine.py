from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import traceback
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from cartsnitch_common.config import Settings
from cartsnitch_common.db import engine as engines
from cartsnitch_common.db import migrate
from cartsnitch_common.db.engine import (
    async_engine,
    async_sessions,
    check_database,
    check_database_sync,
    sync_engine,
    sync_sessions,
)
from cartsnitch_common.db.models import Store
from cartsnitch_common.db.pings import WITHOUT_PING
from cartsnitch_common.errors import (
    CartsnitchError,
    DatabaseUnavailableError,
    ServerUnavailableError,
    ServerVersionError,
    TimeLimitError,
)

STATE = """SELECT current_setting('application_name'), current_setting('TimeZone'),
           current_setting('statement_timeout')"""
NOT_POSTGRES = "not from a PostgreSQL|is not a PostgreSQL"


@pytest.fixture
def own(database: str) -> Settings:
    return Settings.load(
        database_url=database, service="api", database_statement_timeout=0.25, database_pool_size=2
    )


@contextlib.contextmanager
def speaking(answer: bytes) -> Iterator[int]:
    """A server that answers everything with the same bytes and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        client.recv(1000)
                        client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


async def test_async_transactions_have_name_zone_and_timeout(own: Settings) -> None:
    """The server knows who asks, times are UTC, and no statement runs for ever."""
    engine = async_engine(own)
    async with engine.begin() as connection:
        assert (await connection.execute(text(STATE))).one() == ("cartsnitch-api", "UTC", "250ms")
    with pytest.raises(TimeLimitError):
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_sleep(5)"))
    await engine.dispose()


def test_sync_transactions_have_name_zone_and_timeout(own: Settings, database: str) -> None:
    """The same under psycopg, also where the database itself keeps another time zone."""
    with psycopg.connect(database, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET TimeZone = 'America/Detroit'")
    engine = sync_engine(own)
    with engine.begin() as connection:
        assert connection.execute(text(STATE)).one() == ("cartsnitch-api", "UTC", "250ms")
    with pytest.raises(TimeLimitError), engine.begin() as connection:
        connection.execute(text("SELECT pg_sleep(5)"))
    engine.dispose()


async def test_nothing_is_set_for_the_session(own: Settings) -> None:
    """A pooler may give the next transaction to another client: no timeout stays behind."""
    engine = async_engine(own)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        await connection.rollback()
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        assert (await outside.execute(text("SHOW statement_timeout"))).scalar_one() == "0"
    await engine.dispose()


async def test_without_a_timeout_the_role_decides(database: str) -> None:
    """0 leaves the limit to the server."""
    settings = Settings.load(database_url=database, database_statement_timeout=0)
    engine = async_engine(settings)
    async with engine.begin() as connection:
        assert (await connection.execute(text("SHOW statement_timeout"))).scalar_one() == "0"
    await engine.dispose()


async def test_objects_stay_readable_after_a_commit(own: Settings) -> None:
    """A session loads nothing behind the caller's back."""
    engine = async_engine(own)
    async with async_sessions(engine).begin() as session:
        store = Store(name="Meijer", slug="meijer")
        session.add(store)
    assert store.name == "Meijer"
    await engine.dispose()
    blocking = sync_engine(own)
    with sync_sessions(blocking).begin() as session:
        store = Store(name="Kroger", slug="kroger")
        session.add(store)
    assert store.name == "Kroger"
    blocking.dispose()


@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_a_server_that_became_read_only_is_left(own: Settings, kind: str) -> None:
    """After a failover the pool connects anew, instead of writing to the old primary for ever."""
    read_only = text("SET TRANSACTION READ ONLY")
    write = text("INSERT INTO stores (name, slug) VALUES ('Meijer', 'meijer')")
    ask = text("SELECT pg_backend_pid()")
    if kind == "sync":
        engine = sync_engine(own)
        with engine.connect() as connection:
            connection.execute(read_only)
            first = connection.scalar(ask)
            with pytest.raises(DatabaseUnavailableError) as failed:
                connection.execute(write)
        with engine.begin() as connection:
            assert connection.scalar(ask) != first
        engine.dispose()
    else:
        other = async_engine(own)
        async with other.connect() as held:
            await held.execute(read_only)
            first = await held.scalar(ask)
            with pytest.raises(DatabaseUnavailableError) as failed:
                await held.execute(write)
        async with other.begin() as held:
            assert await held.scalar(ask) != first
        await other.dispose()
    assert failed.value.sqlstate == "25006"


async def test_a_check_tells_the_version(own: Settings) -> None:
    """Both checks pass on the server of the tests and say what it is."""
    found = await check_database(own)
    assert int(found.partition(".")[0]) >= engines.OLDEST_POSTGRES
    assert check_database_sync(own) == found


async def failures(settings: Settings) -> list[CartsnitchError]:
    """What every way to the database says about it."""
    found = []
    for attempt in (check_database_sync, migrate.upgrade, migrate.check):
        with pytest.raises(CartsnitchError) as failed:
            attempt(settings)
        found.append(failed.value)
    with pytest.raises(CartsnitchError) as failed:
        await check_database(settings)
    return [*found, failed.value]


def assert_one_line(error: CartsnitchError, *secrets: str) -> None:
    """The error is one line that names the setting, and no secret is near it."""
    assert str(error).startswith("CARTSNITCH_DATABASE_URL: ")
    assert "\n" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None
    shown = str(error) + repr(error) + "".join(traceback.format_exception(error))
    assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((r":[^:@]*@", ":canary@"), "the server refuses the user or the password"),
        ((r"//[^:]*:[^@]*@", "//nobody:canary@"), "the server refuses the user or the password"),
        ((r"/[^/]*$", "/missing"), "the database does not exist"),
        ((r"@[^/]*/", "@127.0.0.1:1/"), "the connection was refused"),
        ((r"@[^/]*/", "@host.invalid/"), "the host is not known"),
        ((r"$", "?sslmode=require"), "the server offers no TLS"),
        ((r"$", "?sslmode=sometimes"), "a parameter of it has a value that is not known"),
        ((r"@[^/]*(/.*)$", r"@\1?host=/missing"), "a socket or a file that it names"),
    ],
)
async def test_a_database_out_of_reach_is_one_line(
    database: str, change: tuple[str, str], reason: str
) -> None:
    """Whatever is wrong, the error names the setting and says what, without URL or password."""
    password = re.split(r"[:@]", database)[2]
    url = re.sub(*change, database, count=1)
    for error in await failures(Settings.load(database_url=url)):
        assert isinstance(error, ServerUnavailableError)
        assert error.reason.startswith(reason)
        assert_one_line(error, password, "canary", url)


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"N", b"S", b"-ERR unknown command\r\n"]
)
async def test_a_port_of_something_else_is_one_line(answer: bytes) -> None:
    """A server that is no PostgreSQL is an error of the same form, not a driver's traceback."""
    with speaking(answer) as port:
        url = f"postgresql://ada:canary@127.0.0.1:{port}/carts"
        settings = Settings.load(database_url=url, database_connect_timeout=1)
        for error in await failures(settings):
            assert isinstance(error, ServerUnavailableError)
            assert re.search(NOT_POSTGRES, error.reason), error.reason
            assert_one_line(error, "canary", url)


async def test_the_port_of_redis_is_one_line(redis_url: str) -> None:
    """The two URLs of the settings, mixed up, end in time and in that line."""
    url = redis_url.replace("redis://", "postgresql://")
    settings = Settings.load(database_url=url, database_connect_timeout=1)
    with pytest.raises(ServerUnavailableError, match=NOT_POSTGRES) as synchronous:
        check_database_sync(settings)
    with pytest.raises(ServerUnavailableError, match=NOT_POSTGRES) as asynchronous:
        await check_database(settings)
    for failed in (synchronous, asynchronous):
        assert_one_line(failed.value, url, re.split(r"[:@]", url)[2])


async def test_an_old_server_is_refused(own: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version below the oldest that is supported is told, before anything is done."""
    monkeypatch.setattr(engines, "OLDEST_POSTGRES", 99)
    for error in await failures(own):
        assert isinstance(error, ServerVersionError)
        assert re.search(r"PostgreSQL [\d.]+ is too old, 99 or newer is needed", str(error))
        assert error.needed == "99"
        assert_one_line(error)


async def test_a_check_that_is_cancelled_leaves_no_connection(own: Settings) -> None:
    """Whoever gives up a check is not left with its connection."""
    task = asyncio.create_task(check_database(own))
    await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    engine = async_engine(own)
    count = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    async with asyncio.timeout(5), engine.connect() as connection:
        while await connection.scalar(count) != 1:
            await asyncio.sleep(0.05)
            await connection.rollback()
    await engine.dispose()


def test_sync_and_async_options_can_be_overruled(own: Settings) -> None:
    """A caller's own options win over those of the settings."""
    engine: Any = sync_engine(own, pool_size=7, connect_args={"application_name": "other"})
    assert engine.pool.size() == 7
    with engine.begin() as connection:
        assert connection.scalar(text("SHOW application_name")) == "other"
    engine.dispose()


async def test_a_connection_of_the_pool_is_asked_for_a_sign_of_life_in_one_trip(
    settings: Settings,
) -> None:
    """An idle connection is asked one query of nothing, in no transaction."""
    engine = async_engine(settings, pool_size=1, max_overflow=0)
    asked: list[str] = []

    def note(record: Any) -> None:
        asked.append(record.query)

    try:
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            raw.driver_connection.add_query_logger(note)
        asked.clear()
        await asyncio.sleep(WITHOUT_PING)
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            raw.driver_connection.remove_query_logger(note)
        assert asked == ["SELECT"]
    finally:
        await engine.dispose()


async def test_a_transaction_begins_with_its_limit_in_one_trip(own: Settings) -> None:
    """The limit of time is no round trip of its own; code that says BEGIN itself has it too."""
    engine = async_engine(own, pool_size=1, max_overflow=0, pool_pre_ping=False)
    asked: list[str] = []

    def note(record: Any) -> None:
        asked.append(record.query)

    show = "SHOW statement_timeout"
    try:
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Any = raw.driver_connection
            driver.add_query_logger(note)
            assert await connection.scalar(text(show)) == "250ms"
            await connection.commit()
            driver.remove_query_logger(note)
            begun = [query for query in asked if "BEGIN" in query or "SET" in query]
            assert begun == [
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 250; "
            ]
            assert await driver.fetchval(show) == "0"
            async with driver.transaction(isolation="serializable", readonly=True):
                assert await driver.fetchval(show) == "250ms"
                assert await driver.fetchval("SHOW transaction_isolation") == "serializable"
                async with driver.transaction():  # a savepoint begins nothing
                    assert await driver.fetchval(show) == "250ms"
            assert await driver.execute("BEGIN; SELECT 1") == "SELECT 1"
            assert await driver.fetchval(show) == "250ms"
            await driver.execute("ROLLBACK")
    finally:
        await engine.dispose()
